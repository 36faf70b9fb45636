"""The modules of money and leases whose code is changed, and who is asked to notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Killers:
    """What may kill the mutants of a module: tests without servers, seeds of the simulation, tests with servers."""

    fast: tuple[str, ...] = ()
    seeds: int = 0
    servers: tuple[str, ...] = ()


_WALLET = tuple(
    f"tests/wallet/test_{about}.py"
    for about in [
        "terms_usecases",
        "price_usecases",
        "credit_usecases",
        "hold_usecases",
        "hold_sweep",
        "perform_storage",
        "credit_batch",
    ]
)
_JOBS = tuple(
    f"tests/kit/test_jobs_{about}.py"
    for about in [
        "states",
        "run",
        "runner",
        "stop",
        "verdict",
        "lease",
        "order",
        "heart",
        "turns",
        "queue",
        "dead",
        "watch",
        "sweeper",
        "loss",
        "outbox",
        "listener",
    ]
)
_CHARGE = tuple(
    f"tests/composer/test_{about}.py"
    for about in ["charge_terms", "charge_usecases", "dead_letter_rpc", "stale_attempt_jobs", "export_rpc"]
)
MODULES: dict[str, Killers] = {
    "services.wallet.domain.credit": Killers(("tests/wallet/test_credit_domain.py",), 25, _WALLET),
    "services.wallet.domain.ledger": Killers(
        ("tests/wallet/test_credit_domain.py",), 15, ("tests/wallet/test_ledger_storage.py", *_WALLET)
    ),
    "services.wallet.domain.price": Killers(("tests/wallet/test_price_domain.py",), 10, _WALLET),
    "services.wallet.domain.quota": Killers(("tests/wallet/test_quota_domain.py",), 10, _WALLET),
    "services.wallet.usecases.credit": Killers((), 30, _WALLET),
    "services.wallet.usecases.batch": Killers(("tests/wallet/test_batch_usecases.py",), 0, _WALLET),
    "services.wallet.storage.perform": Killers((), 0, _WALLET),
    "services.wallet.usecases.hold": Killers((), 10, _WALLET),
    "services.wallet.usecases.terms": Killers((), 30, _WALLET),
    "services.kit.jobs.states": Killers(("tests/kit/test_jobs_states.py",)),
    "services.kit.jobs.turns": Killers((), 10, _JOBS),
    "services.kit.jobs.rows": Killers((), 30, _JOBS),
    "services.kit.jobs.run": Killers((), 30, _JOBS),
    "services.kit.jobs.heart": Killers((), 0, _JOBS),
    "services.kit.jobs.runner": Killers((), 30, _JOBS),
    "services.kit.jobs.verdict": Killers((), 30, _JOBS),
    "services.kit.jobs.sweeper": Killers((), 30, _JOBS),
    "services.kit.jobs.queue": Killers((), 30, _JOBS),
    "services.kit.jobs.outbox": Killers((), 30, _JOBS),
    "services.composer.usecases.charge": Killers((), 30, (*_CHARGE, "tests/composer/test_music_jobs.py")),
}
