"""The bill service of the contract."""

from typing import Any

from cadenza.composer.v1 import bill_service_pb2 as pb
from cadenza.composer.v1.bill_service_pb2_grpc import BillServiceServicer
from services.composer.rpc.messages import job_state, timestamp
from services.composer.usecases.bill import Bills


class BillRpc(BillServiceServicer):
    """Answers the calls of cadenza.composer.v1.BillService."""

    def __init__(self, bills: Bills) -> None:
        self._bills = bills

    async def ListBills(self, request: pb.ListBillsRequest, context: Any) -> pb.ListBillsResponse:
        """Return a page of bills."""
        found, token = await self._bills.page(page_size=request.page_size, page_token=request.page_token)
        bills = [
            pb.Bill(
                job_id=each.hold_id,
                user_id=each.user_id,
                kind=each.kind,
                state=job_state(each.state),
                cost_credits=each.cost_credits,
                update_time=timestamp(each.update_time),
                message=each.message,
                delivered=each.delivered,
                message_time=timestamp(each.message_time),
                finished_steps=each.finished_steps,
            )
            for each in found
        ]
        return pb.ListBillsResponse(bills=bills, next_page_token=token)
