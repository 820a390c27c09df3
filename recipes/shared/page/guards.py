"""Who may ask: this machine alone, or whoever has the token; and no other page that a browser has open.

A page of a stranger can send requests to 127.0.0.1, and can let its own name mean 127.0.0.1 (DNS rebinding).
The first cannot set a header of its own without our leave, the second says its name in Host.
"""

import hmac

from flask import abort, redirect, request

HEADER = "X-Wheelferry"  # on all that changes something
_COOKIE = "wheelferry-%d"  # cookies do not tell ports apart
_LOCAL = ("127.0.0.1", "localhost", "[::1]")
# Nothing from elsewhere, nothing that runs but our own files; pictures are also made by the page itself.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def guard(app, port, token):
    """Look at every request of `app` first: at its Host, or its token where there is one; then its origin."""

    @app.before_request
    def check():
        if token is None and request.host not in ["%s:%d" % (name, port) for name in _LOCAL]:
            abort(421)
        if token is not None and not _has_token(token, port):
            if request.path == "/" and _same(request.args.get("token", ""), token):
                # out of the address, which people copy and browsers remember
                answer = redirect("/")
                answer.set_cookie(_COOKIE % port, token, httponly=True, samesite="Strict")
                return answer
            abort(401)
        if request.method not in ("GET", "HEAD") and not _is_from_page():
            abort(403)
        return None

    @app.after_request
    def add_headers(response):
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def _has_token(token, port):
    kind, _, bearer = request.headers.get("Authorization", "").partition(" ")
    return _same(bearer if kind == "Bearer" else request.cookies.get(_COOKIE % port, ""), token)


def _same(given, token):
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _is_from_page():
    origin = request.headers.get("Origin")
    own = origin is None or origin == "%s://%s" % (request.scheme, request.host)
    return own and HEADER in request.headers
