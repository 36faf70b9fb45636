"""Media owns what is captured: stored files, from the announcement of an upload to a playable sound.

It takes files in (presigned, streamed, or made by another service), looks at their content,
makes recordings playable and hands out short-lived addresses. It never charges anything and
never knows what a song is; Composer and Share ask it for assets on behalf of a user.
"""
