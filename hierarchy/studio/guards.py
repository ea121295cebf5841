"""Who may ask, and how much they may send.

A page of another site, open in the same browser, can send requests to a server on
loopback too. It is told from ours by three things: the Host header, which a name that
was rebound to this address would carry (DNS rebinding); the Origin, which a browser
adds to whatever could change something; and a cookie that other sites' requests do
not carry. None of that protects from programs that run on this machine as this user.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE = ("GET", "HEAD")

HEADERS = {
    # Nothing but our own files; sound may come from memory too.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HostNames:
    """By which names the studio may be called.

    A rebound name cannot be an address, so addresses are fine wherever the studio can
    be reached by them; names have to be known.

    >>> names = HostNames("127.0.0.1")
    >>> names.fit("localhost:7860"), names.fit("127.0.0.1"), names.fit("[::1]:80")
    (True, True, True)
    >>> names.fit("evil.example:7860"), names.fit("192.168.0.7"), names.fit("")
    (False, False, False)
    """

    def __init__(self, bound_to: str, more: Iterable[str] = ()):
        self._loopback = is_loopback(bound_to)
        self._names = {"localhost", *(name.lower() for name in more)}
        if not self._loopback:
            self._names |= {bound_to.lower(), socket.gethostname().lower()}

    def fit(self, host: str) -> bool:
        """Whether a Host header names this studio."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._loopback


class Guard:
    """Refuses requests that do not come from a page of ours; adds careful headers."""

    def __init__(self, app: ASGIApp, names: HostNames):
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def careful(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        reason = self._reason(scope["method"], Headers(scope=scope))
        if reason:
            answer = JSONResponse({"error": reason}, status_code=403)
            await answer(scope, receive, careful)
        else:
            await self._app(scope, receive, careful)

    def _reason(self, method: str, headers: Headers) -> str | None:
        """Why a request is refused, or None."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._names.fit(hosts[0]):
            return (
                "this studio is not known by that name; start it with --also-known-as "
                "NAME if it is right"
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != hosts[0]:
            return "the request came from another site"
        if headers.get("sec-fetch-site", "same-origin") not in (
            ("same-origin", "none") if method in SAFE else ("same-origin",)
        ):
            # Following a link to the page is fine; being embedded or driven is not.
            navigates = headers.get("sec-fetch-mode") == "navigate"
            if method not in SAFE or not navigates:
                return "the request came from another site"
        if method not in SAFE and origin is None:
            return "a request that changes something says where it comes from"
        return None
