"""Owns downloading: https only, pinned sha256, bounded size."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from email.message import Message
from typing import IO, BinaryIO
from urllib.parse import urlsplit

from restore.errors import ModelError
from restore.models.catalogue import Download

TIMEOUT_S = 30
_CHUNK_BYTES = 1 << 20


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https and to nothing else."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError(f"redirected to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def download(source: Download, file: BinaryIO, opener: urllib.request.OpenerDirector | None = None) -> None:
    """Write the bytes of `source` to `file`; ModelError unless size and sha256 are the pinned ones."""
    if urlsplit(source.url).scheme != "https":
        raise ModelError(f"{source.url}: not https, so it isn't downloaded")
    opener = opener or urllib.request.build_opener(_HttpsOnly)
    request = urllib.request.Request(source.url, headers={"User-Agent": "restore"})
    digest, size = hashlib.sha256(), 0
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            while chunk := answer.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > source.size_bytes:
                    raise ModelError(f"{source.url}: more than the pinned {source.size_bytes} bytes came; not used")
                digest.update(chunk)
                file.write(chunk)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise ModelError(
            f"{source.url}: can't be reached ({reason}); fetch it on another machine, then: restore models import FILE"
        ) from error
    file.flush()
    if size != source.size_bytes or digest.hexdigest() != source.sha256:
        raise ModelError(
            f"{source.url}: {size} bytes with sha256 {digest.hexdigest()} came, "
            f"pinned are {source.size_bytes} bytes with {source.sha256}; not used"
        )
