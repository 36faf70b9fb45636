"""ReportService: complaints over their use cases."""

from cadenza.share.v1 import report_service_pb2 as pb
from cadenza.share.v1 import report_service_pb2_grpc as pb_grpc
from services.kit.clock import Clock
from services.kit.rpc.call import ServicerContext, current_call
from services.kit.rpc.identity import current_user
from services.share.domain.report import Reason, Report, Reported
from services.share.rpc.share import timestamp
from services.share.usecases.report import Reports

_PREFIX = "REPORT_REASON_"


class ReportServicer(pb_grpc.ReportServiceServicer):
    """Serves complaints; anybody may complain, administrators decide."""

    def __init__(self, reports: Reports, clock: Clock) -> None:
        """Serve these complaints."""
        self._reports = reports
        self._clock = clock

    async def ReportShare(self, request: pb.ReportShareRequest, context: ServicerContext) -> pb.ReportShareResponse:
        """Write a complaint down."""
        report = Report(
            reason=Reason(pb.ReportReason.Name(request.reason).removeprefix(_PREFIX).lower()),
            message=request.message.strip(),
            create_time=self._clock(),
        )
        await self._reports.add(request.share_code, request.ticket, report, address=current_call().client_ip)
        return pb.ReportShareResponse()

    async def ListReports(self, request: pb.ListReportsRequest, context: ServicerContext) -> pb.ListReportsResponse:
        """Return a page of reported shares."""
        found, more = await self._reports.waiting(page_size=request.page_size, page_token=request.page_token)
        return pb.ListReportsResponse(shares=[_reported(each) for each in found], next_page_token=more)

    async def DecideReports(
        self, request: pb.DecideReportsRequest, context: ServicerContext
    ) -> pb.DecideReportsResponse:
        """Decide upon all complaints about a share."""
        await self._reports.decide(current_user().user_id, request.share_code, take_down=request.take_down)
        return pb.DecideReportsResponse()


def _reported(reported: Reported) -> pb.ReportedShare:
    share = reported.share
    return pb.ReportedShare(
        share_code=share.share_code,
        user_id=share.user_id,
        track_id=share.track_id,
        report_count=reported.count,
        reports=[
            pb.Report(
                reason=pb.ReportReason.Value(f"{_PREFIX}{each.reason.value.upper()}"),
                message=each.message,
                create_time=timestamp(each.create_time),
            )
            for each in reported.reports
        ],
    )
