"""The JSON face of the mesh: HTTP in, gRPC to the services, HTTP out.

It owns the dialect (routes, spelling, envelope, streams, uploads) and no business: it imports
`services.kit` and the contracts only, and every route of `/api/v1` is an annotation in a proto.
"""
