"""Let one statement make many money writes, each as if it were alone."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Many money writes, in order, each decided as if it were alone. What happens, and why in this order:
#  1. locks: the holds by id, then the spendable account of every owner by id, which stands for all accounts of the
#     owner. Every writer takes them in this order, so no two can wait for each other in a circle.
#  2. reads what the decisions need. Each statement in here has a snapshot of its own, taken after the locks, so nothing
#     that it reads of these owners can be out of date.
#  3. decides one write after the other by the rules of the domain, on arrays: slots 1 to 5 of an owner are the accounts
#     in alphabetical order of their kinds. A refusal changes nothing and stops nobody.
#  4. writes everything in one statement, at whose end the triggers check the books.
# Where somebody else used one of the ids meanwhile for another owner, the unique index raises and nothing is written.
_PERFORM = """
CREATE FUNCTION wallet.perform(
  operations text[], request_ids text[], input_hashes bytea[], user_ids uuid[], hold_ids uuid[], amounts bigint[],
  price_kinds text[], price_versions bigint[], expire_times timestamptz[], kinds text[], descriptions text[],
  transfer_ids uuid[], entry_ids uuid[], at timestamptz, day_start timestamptz)
RETURNS TABLE (outcome text, facts jsonb) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  grants CONSTANT int := 2; revenue CONSTANT int := 3; spendable CONSTANT int := 4; held CONSTANT int := 5;
  stamp CONSTANT text := to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"');
  repeated CONSTANT boolean := (
    SELECT count(*) > count(DISTINCT (o, r)) FROM unnest(operations, request_ids) AS w (o, r));
  outcomes text[] := array_fill(NULL::text, ARRAY[cardinality(operations)]);
  told jsonb[] := array_fill(NULL::jsonb, ARRAY[cardinality(operations)]);
  -- The holds: known ones first, then those made here.
  h_ids uuid[]; h_users uuid[]; h_kinds text[]; h_amounts bigint[]; h_settled bigint[]; h_states text[];
  h_versions bigint[]; h_expires timestamptz[]; known int;
  owners uuid[];
  -- Five accounts for each owner.
  a_ids uuid[]; a_balances bigint[]; a_versions bigint[]; a_hashes bytea[];
  first_hashes bytea[]; first_answers jsonb[];
  p_kinds text[]; p_amounts bigint[]; p_versions bigint[];
  frozen uuid[];
  -- What is left today of the quota of a user and a kind of work; NULL without a limit.
  q_keys text[]; q_left bigint[]; quota int;
  -- What the transfers and entries will say.
  t_users uuid[] := user_ids; t_texts text[] := descriptions;
  e_ids uuid[] := '{}'; e_accounts uuid[] := '{}'; e_versions bigint[] := '{}'; e_transfers uuid[] := '{}';
  e_amounts bigint[] := '{}'; e_balances bigint[] := '{}'; e_before bytea[] := '{}'; e_hashes bytea[] := '{}';
  named jsonb; moved bigint[]; place int; slot int; line int; hold int; price bigint; spent bigint;
  before bytea; after bytea;
BEGIN
  SELECT coalesce(array_agg(h.hold_id), '{}'), coalesce(array_agg(h.user_id), '{}'),
         coalesce(array_agg(h.price_kind), '{}'), coalesce(array_agg(h.amount), '{}'),
         coalesce(array_agg(h.settled), '{}'), coalesce(array_agg(h.state), '{}'),
         coalesce(array_agg(h.price_version), '{}'), coalesce(array_agg(h.expire_time), '{}'), count(*)
    INTO h_ids, h_users, h_kinds, h_amounts, h_settled, h_states, h_versions, h_expires, known
    FROM (SELECT * FROM wallet.holds WHERE hold_id = ANY (hold_ids) ORDER BY hold_id FOR NO KEY UPDATE) AS h;
  owners := ARRAY (SELECT DISTINCT o FROM unnest(user_ids || h_users) AS o WHERE o IS NOT NULL ORDER BY o);
  IF 'grant' = ANY (operations) THEN
    PERFORM wallet.open_accounts(ARRAY (
      SELECT DISTINCT u FROM unnest(operations, user_ids) AS w (o, u) WHERE o = 'grant'));
  END IF;
  PERFORM FROM wallet.accounts WHERE owner_id = ANY (owners) AND kind = 'user' ORDER BY owner_id FOR NO KEY UPDATE;
  SELECT array_agg(a.account_id), array_agg(a.balance), array_agg(a.version), array_agg(a.last_hash)
    INTO a_ids, a_balances, a_versions, a_hashes FROM (
      SELECT a.account_id, coalesce(a.balance, 0) AS balance, a.version, a.last_hash
      FROM unnest(owners) WITH ORDINALITY AS o (owner_id, n)
      CROSS JOIN unnest(ARRAY['adjustments', 'grants', 'revenue', 'user', 'user_held']) WITH ORDINALITY AS k (kind, n)
      LEFT JOIN wallet.accounts AS a ON a.owner_id = o.owner_id AND a.kind = k.kind ORDER BY o.n, k.n) AS a;
  SELECT array_agg(t.input_hash), array_agg(t.answer) INTO first_hashes, first_answers FROM (
    SELECT t.input_hash, t.answer FROM unnest(operations, request_ids) WITH ORDINALITY AS w (operation, request_id, n)
    LEFT JOIN wallet.transfers AS t ON t.operation = w.operation AND t.request_id = w.request_id ORDER BY w.n) AS t;
  IF 'hold' = ANY (operations) THEN
    SELECT array_agg(p.kind), array_agg(p.amount), array_agg(p.version) INTO p_kinds, p_amounts, p_versions FROM (
      SELECT DISTINCT ON (kind) kind, amount, version FROM wallet.prices
      WHERE kind = ANY (price_kinds) AND valid_from <= at ORDER BY kind, version DESC) AS p;
    SELECT array_agg(w.user_id || w.kind), array_agg(q.limit_runs - u.used) INTO q_keys, q_left
      FROM (SELECT DISTINCT v.user_id, v.kind FROM unnest(operations, user_ids, price_kinds) AS v (o, user_id, kind)
            WHERE v.o = 'hold') AS w
      LEFT JOIN wallet.members AS m ON m.user_id = w.user_id
      LEFT JOIN LATERAL (SELECT limit_runs FROM wallet.quotas WHERE plan = coalesce(m.plan, 'free')
                         AND quotas.kind = w.kind ORDER BY version DESC LIMIT 1) AS q ON true
      LEFT JOIN LATERAL (SELECT count(*) AS used FROM wallet.holds AS h WHERE q.limit_runs IS NOT NULL
                         AND h.user_id = w.user_id AND h.price_kind = w.kind AND h.create_time >= day_start
                         AND h.state IN ('held', 'settled')) AS u ON true;
  END IF;
  frozen := ARRAY (SELECT f.user_id FROM wallet.freezes AS f WHERE f.user_id = ANY (user_ids));

  <<writes>>
  FOR i IN 1 .. cardinality(operations) LOOP
    IF first_hashes[i] IS NOT NULL THEN
      outcomes[i] := CASE WHEN first_hashes[i] = input_hashes[i] THEN 'repeat' ELSE 'reused' END;
      told[i] := first_answers[i];
      CONTINUE writes;
    END IF;
    IF repeated THEN
      FOR j IN 1 .. i - 1 LOOP
        IF outcomes[j] = 'done' AND operations[j] = operations[i] AND request_ids[j] = request_ids[i] THEN
          outcomes[i] := CASE WHEN input_hashes[j] = input_hashes[i] THEN 'repeat' ELSE 'reused' END;
          told[i] := told[j];
          CONTINUE writes;
        END IF;
      END LOOP;
    END IF;
    moved := '{0,0,0,0,0}';
    hold := array_position(h_ids, hold_ids[i]);
    IF operations[i] IN ('settle', 'release') THEN
      IF hold IS NULL THEN
        outcomes[i] := 'not_found';
        CONTINUE writes;
      END IF;
      IF h_states[hold] <> 'held' THEN
        outcomes[i] := 'closed';
        told[i] := jsonb_build_object('state', h_states[hold]);
        CONTINUE writes;
      END IF;
      t_users[i] := h_users[hold];
    END IF;
    IF t_users[i] = ANY (frozen) AND operations[i] IN ('grant', 'hold') THEN
      outcomes[i] := 'undecided';
      CONTINUE writes;
    END IF;
    place := (array_position(owners, t_users[i]) - 1) * 5;
    CASE operations[i]
    WHEN 'grant' THEN
      moved[grants] := -amounts[i];
      moved[spendable] := amounts[i];
    WHEN 'hold' THEN
      price := p_amounts[array_position(p_kinds, price_kinds[i])];
      IF price IS NULL THEN
        outcomes[i] := 'no_price';
        CONTINUE writes;
      END IF;
      quota := array_position(q_keys, user_ids[i] || price_kinds[i]);
      IF q_left[quota] <= 0
         OR price_versions[i] NOT IN (0, p_versions[array_position(p_kinds, price_kinds[i])]) THEN
        outcomes[i] := 'undecided';
        CONTINUE writes;
      END IF;
      IF a_balances[place + spendable] < price
         AND a_balances[place + spendable] + a_balances[place + held] >= price THEN
        outcomes[i] := 'held';
        SELECT jsonb_build_object('needed', price, 'available', a_balances[place + spendable],
            'held', a_balances[place + held], 'holds', count(*),
            'job_ids', string_agg(o.hold_id::text, ',' ORDER BY o.n) FILTER (WHERE o.n <= 10))
          INTO named FROM (
            SELECT a.hold_id, row_number() OVER (ORDER BY a.hold_id) AS n FROM (
              SELECT h.hold_id FROM wallet.holds AS h
              WHERE h.user_id = user_ids[i] AND h.state = 'held' AND h.hold_id <> ALL (h_ids)
              UNION ALL
              SELECT h.hold_id FROM unnest(h_ids, h_users, h_states) AS h (hold_id, user_id, state)
              WHERE h.user_id = user_ids[i] AND h.state = 'held') AS a) AS o;
        told[i] := named;
        CONTINUE writes;
      END IF;
      IF a_balances[place + spendable] < price THEN
        outcomes[i] := 'insufficient';
        told[i] := jsonb_build_object('needed', price, 'available', a_balances[place + spendable]);
        CONTINUE writes;
      END IF;
      moved[spendable] := -price;
      moved[held] := price;
      h_ids := h_ids || hold_ids[i];
      h_users := h_users || user_ids[i];
      h_kinds := h_kinds || price_kinds[i];
      h_amounts := h_amounts || price;
      h_settled := h_settled || 0::bigint;
      h_states := h_states || 'held'::text;
      h_versions := h_versions || p_versions[array_position(p_kinds, price_kinds[i])];
      h_expires := h_expires || expire_times[i];
      q_left[quota] := q_left[quota] - 1;
      hold := cardinality(h_ids);
    WHEN 'settle' THEN
      spent := coalesce(amounts[i], h_amounts[hold]);
      IF spent NOT BETWEEN 0 AND h_amounts[hold] THEN
        outcomes[i] := 'too_much';
        told[i] := jsonb_build_object('held', h_amounts[hold]);
        CONTINUE writes;
      END IF;
      moved[held] := -h_amounts[hold];
      moved[revenue] := spent;
      moved[spendable] := h_amounts[hold] - spent;
      h_settled[hold] := spent;
      h_states[hold] := 'settled';
    WHEN 'release' THEN
      moved[held] := -h_amounts[hold];
      moved[spendable] := h_amounts[hold];
      h_states[hold] := 'released';
    END CASE;

    outcomes[i] := 'done';
    IF t_texts[i] = '' THEN
      t_texts[i] := h_kinds[hold];
    END IF;
    line := (i - 1) * 3;
    FOR m IN grants .. held LOOP
      CONTINUE WHEN moved[m] = 0;
      slot := place + m;
      line := line + 1;
      a_balances[slot] := a_balances[slot] + moved[m];
      a_versions[slot] := a_versions[slot] + 1;
      before := a_hashes[slot];
      after := sha256(convert_to(concat_ws(E'\\n', encode(before, 'hex'), entry_ids[line], a_ids[slot],
        a_versions[slot], transfer_ids[i], moved[m], a_balances[slot], stamp), 'UTF8'));
      a_hashes[slot] := after;
      e_ids := e_ids || entry_ids[line];
      e_accounts := e_accounts || a_ids[slot];
      e_versions := e_versions || a_versions[slot];
      e_transfers := e_transfers || transfer_ids[i];
      e_amounts := e_amounts || moved[m];
      e_balances := e_balances || a_balances[slot];
      e_before := e_before || before;
      e_hashes := e_hashes || after;
    END LOOP;
    told[i] := jsonb_build_object('available', a_balances[place + spendable], 'held', a_balances[place + held],
      'update_time', stamp, 'hold', CASE WHEN hold IS NOT NULL THEN jsonb_build_object(
        'hold_id', h_ids[hold], 'user_id', h_users[hold], 'price_kind', h_kinds[hold], 'amount', h_amounts[hold],
        'settled', h_settled[hold], 'state', h_states[hold], 'price_version', h_versions[hold], 'expire_time',
        to_char(h_expires[hold] AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')) END);
  END LOOP;

  IF cardinality(e_ids) > 0 THEN
    WITH transfer AS (
      INSERT INTO wallet.transfers (transfer_id, operation, request_id, kind, user_id, input_hash, answer, description,
                                    reference_id, create_time)
      SELECT t.id, t.operation, t.request_id, t.kind, t.user_id, t.input_hash, t.answer, t.description,
             CASE t.operation WHEN 'grant' THEN t.request_id ELSE t.hold_id::text END, at
      FROM unnest(transfer_ids, operations, request_ids, kinds, t_users, input_hashes, told, t_texts, hold_ids,
                  outcomes)
        AS t (id, operation, request_id, kind, user_id, input_hash, answer, description, hold_id, outcome)
      WHERE t.outcome = 'done' ORDER BY t.operation, t.request_id
    ), entry AS (
      INSERT INTO wallet.entries (entry_id, account_id, version, transfer_id, amount, balance_after, previous_hash,
                                  hash, create_time)
      SELECT e.*, at
      FROM unnest(e_ids, e_accounts, e_versions, e_transfers, e_amounts, e_balances, e_before, e_hashes) AS e
    ), account AS (
      UPDATE wallet.accounts AS a
      SET balance = n.balance, version = n.version, last_hash = n.hash, update_time = at
      FROM unnest(a_ids, a_balances, a_versions, a_hashes) AS n (account_id, balance, version, hash)
      WHERE a.account_id = n.account_id AND a.version < n.version
    ), hold_made AS (
      INSERT INTO wallet.holds (hold_id, user_id, price_kind, amount, settled, state, price_version, expire_time,
                                create_time, update_time)
      SELECT h.hold_id, h.user_id, h.price_kind, h.amount, h.settled, h.state, h.version, h.expire_time, at, at
      FROM unnest(h_ids, h_users, h_kinds, h_amounts, h_settled, h_states, h_versions, h_expires) WITH ORDINALITY
        AS h (hold_id, user_id, price_kind, amount, settled, state, version, expire_time, n) WHERE h.n > known
    )
    UPDATE wallet.holds AS h SET settled = n.settled, state = n.state, update_time = at
    FROM unnest(h_ids[:known], h_settled[:known], h_states[:known]) AS n (hold_id, settled, state)
    WHERE h.hold_id = n.hold_id AND h.state = 'held' AND n.state <> 'held';
  END IF;
  RETURN QUERY SELECT * FROM unnest(outcomes, told);
END $$
"""

_DROP = """
DROP FUNCTION wallet.perform(text[], text[], bytea[], uuid[], uuid[], bigint[], text[], bigint[], timestamptz[],
                             text[], text[], uuid[], uuid[], timestamptz, timestamptz)
"""


def upgrade() -> None:
    """Apply this step."""
    # A colon names no parameter in it.
    op.execute(sa.text(_PERFORM.replace(":", r"\:")))


def downgrade() -> None:
    """Undo this step."""
    op.execute(sa.text(_DROP))
