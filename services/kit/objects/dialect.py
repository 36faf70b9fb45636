"""How the servers differ that all call their interface S3, by name.

Same for all: requests are signed by Signature Version 4, checksums are sent only where S3 demands them (OSS refuses the
`aws-chunked` bodies that boto3 makes of newer ones, R2 and older MinIO refuse their trailers), parts of one object are
of one size (R2 demands it), and ETags are only ever repeated to the server that made them: OSS writes them in upper
case, and of an object in parts they are no MD5 anywhere.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True)
class Dialect:
    """What one sort of server wants; `region` is that of all its buckets, `in_host` finds it in an endpoint."""

    name: str
    addressing: str = "path"
    region: str = ""
    in_host: str = ""
    # Whether a bucket outside of the default region has to be made with its region.
    constrained: bool = False

    def region_at(self, endpoint_url: str, given: str) -> str:
        """Return the region to sign for: the server's only one, the one given, or the one in its host name."""
        if self.region or not self.in_host or given != _DEFAULT_REGION:
            return self.region or given
        found = re.search(self.in_host, urlsplit(endpoint_url).hostname or "")
        return found[1] if found else given

    def origin_of(self, endpoint_url: str, bucket: str) -> str:
        """Return scheme, host and port of signed addresses, for pages that may load from there; '' without endpoint."""
        parts = urlsplit(endpoint_url)
        if not parts.netloc:
            return ""
        return f"{parts.scheme}://{f'{bucket}.' if self.addressing == 'virtual' else ''}{parts.netloc}"

    def bucket_place(self, region: str) -> dict[str, dict[str, str]]:
        """Return what the request for a new bucket has to say of its place."""
        if not self.constrained or region == _DEFAULT_REGION:
            return {}
        return {"CreateBucketConfiguration": {"LocationConstraint": region}}


MINIO = Dialect("minio")

DIALECTS = {
    each.name: each
    for each in (
        MINIO,
        Dialect("s3", addressing="virtual", in_host=r"^s3[.-]([a-z0-9-]+)\.amazonaws\.com", constrained=True),
        # https://<account>.r2.cloudflarestorage.com; `auto` is the only region.
        Dialect("r2", region="auto"),
        # https://s3.oss-<region>.aliyuncs.com; the bucket must stand in the host name.
        Dialect("oss", addressing="virtual", in_host=r"^(?:s3\.)?oss-([a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com$"),
        # https://cos.<region>.myqcloud.com; the same holds for buckets of 2024 and later.
        Dialect("cos", addressing="virtual", in_host=r"^cos\.([a-z0-9-]+)\.(?:myqcloud|tencentcos)\.c(?:om|n)$"),
    )
}
