"""Which object store a process uses: S3 when an endpoint is set, the local one otherwise."""

from services.kit.config import ProcessConfig
from services.kit.objects.dialect import DIALECTS
from services.kit.objects.local import LocalObjectStore
from services.kit.objects.s3 import S3ObjectStore
from services.kit.objects.store import ObjectStore


def object_store(config: ProcessConfig) -> ObjectStore:
    """Return the store that the settings name; ValueError when its secret is missing."""
    if config.s3_endpoint_url:
        return S3ObjectStore(
            endpoint_url=config.s3_endpoint_url,
            access_key=config.s3_access_key,
            secret_key=config.s3_secret_key,
            bucket=config.s3_bucket,
            region=config.s3_region,
            dialect=DIALECTS[config.s3_dialect],
        )
    return local_object_store(config)


def local_object_store(config: ProcessConfig) -> LocalObjectStore:
    """Return the embedded store, which the gateway serves; ValueError when its secret is missing."""
    return LocalObjectStore(
        config.object_store_directory, config.object_url_secret, config.public_url, bucket=config.s3_bucket
    )
