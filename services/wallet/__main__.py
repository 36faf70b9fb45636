"""The Wallet server: configuration, database, Redis, use cases, servicers, serve."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from cadenza.composer.v1.bill_service_pb2_grpc import BillServiceStub
from cadenza.wallet.v1.admin_service_pb2_grpc import add_AdminServiceServicer_to_server
from cadenza.wallet.v1.credit_service_pb2_grpc import add_CreditServiceServicer_to_server
from cadenza.wallet.v1.ownership_service_pb2_grpc import add_OwnershipServiceServicer_to_server
from services.kit.clock import now
from services.kit.config import load
from services.kit.db.engine import Database
from services.kit.jobs.wakes import Wakes
from services.kit.redis import connect
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.channel import Peers
from services.kit.rpc.serve import serve
from services.wallet.config import Config
from services.wallet.domain.reconciliation import Patience
from services.wallet.rpc.admin import AdminServicer
from services.wallet.rpc.credit import CreditServicer
from services.wallet.rpc.ownership import OwnershipServicer
from services.wallet.usecases.admin import Administration
from services.wallet.usecases.balance import Balances
from services.wallet.usecases.credit import Credits
from services.wallet.usecases.hold import Holds
from services.wallet.usecases.merge import Merges
from services.wallet.usecases.quota import Quotas
from services.wallet.usecases.reconciliation import Reconciliation
from services.wallet.usecases.terms import Terms


@asynccontextmanager
async def build(config: Config, peers: Peers) -> AsyncIterator[Application]:
    """Yield Wallet, ready to be served; it calls Composer once a night, to compare holds with jobs."""
    db = Database(config.database_url)
    # Redis only wakes those who watch their balance; without it every money path goes on, so it is no ping of ours.
    redis = connect(config.redis_url)
    balances = Balances(db, Wakes(redis, topic="wallet"))
    terms = Terms(
        quote_window=timedelta(seconds=config.quote_window_s),
        hold_expiry=timedelta(seconds=config.hold_expiry_s),
        hold_longest=timedelta(seconds=config.hold_longest_s),
        utc_offset=timedelta(hours=config.quota_utc_offset_h),
    )
    credits_ = Credits(db, now, signup_grant_credits=config.signup_grant_credits, terms=terms)
    holds = Holds(db, credits_, now, terms=terms, changed=balances.changed)
    quotas = Quotas(db, now, utc_offset=terms.utc_offset)
    administration = Administration(db, now)
    patience = Patience(timedelta(seconds=config.reconcile_grace_s), timedelta(seconds=config.job_gone_s))
    composer = BillServiceStub(peers.channel("composer"))
    reconciliation = Reconciliation(db, credits_, composer, now, patience=patience)
    loops = [balances.run, holds.run]
    if config.reconcile == "nightly":
        loops.append(partial(reconciliation.run, terms.utc_offset))
    try:
        yield Application(
            name="wallet",
            services=[
                Registered(add_CreditServiceServicer_to_server, CreditServicer(credits_, holds, balances, quotas)),
                Registered(add_AdminServiceServicer_to_server, AdminServicer(administration, credits_, balances)),
                Registered(add_OwnershipServiceServicer_to_server, OwnershipServicer(Merges(db, now), balances)),
            ],
            pings={"database": db.ping},
            background=loops,
        )
    finally:
        await redis.aclose()
        await db.close()


def main() -> None:
    """Serve Wallet until SIGTERM."""
    asyncio.run(serve(load(Config), build))


if __name__ == "__main__":
    main()
