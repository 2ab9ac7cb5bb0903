"""Filming with the phone for the page on the desktop: a QR code hands the visitor's secret over.

The secret stands after the #, which browsers keep to themselves: it is in no request and no log. Both pages are then
the same visitor's, so what the phone films is checked, and shown, on both.
"""

import html
import io
import ipaddress
import socket
from urllib.parse import urlsplit

from .visitors import SECRET

WAIT_SECONDS = 300.0  # for the phone
ELSEWHERE = ("192.0.2.1", 9)  # a documentation address; nothing is sent to it
SENTENCE = "Point the phone's camera at it, film there, and come back here. It must be in the same network."


def phone_address(origin: str, secret: str) -> str | None:
    """The page's address for the phone, or None where none can be made.

    Args:
        origin: the page's, as this browser has it; a name that only this machine knows is replaced. secret: the visitor's.
    """
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or not parts.hostname or not SECRET.fullmatch(secret or ""):
        return None
    host = network_address() if _is_loopback(parts.hostname) else parts.hostname
    if host is None:
        return None
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}/#film={secret}"


def network_address() -> str | None:
    """This machine's address in its network, or None without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)  # of a datagram socket: only asks which way it would go
        except OSError:
            return None
        return probe.getsockname()[0]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def code_html(address: str) -> str:
    """HTML of the QR code, as an inline picture, and what to do with it."""
    import segno

    picture = io.BytesIO()
    segno.make(address, error="m", micro=False).save(
        picture, kind="svg", scale=5, border=4, light="#fff", dark="#111", xmldecl=False, svgns=True
    )
    return (
        f'<figure class="handover" role="img" aria-label="QR code of this page for a phone">{picture.getvalue().decode()}'
        f"<figcaption>{html.escape(SENTENCE)}</figcaption></figure>"
    )
