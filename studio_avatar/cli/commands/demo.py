"""`studio-avatar demo`: serve the web page."""

import argparse
from pathlib import Path

from studio_avatar.cli import options as shared
from studio_avatar.ui.server import LOGIN_VARIABLE, ServerOptions, launch

HELP = "serve the web demo"
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"  # beside the package in a source checkout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    defaults = ServerOptions()
    add = parser.add_argument
    shared.add_weights(parser)
    add("--host", help="address to listen on, 0.0.0.0 for all (default: 127.0.0.1, or GRADIO_SERVER_NAME)")
    add("--port", type=int, help="port to listen on (default: 7860, or GRADIO_SERVER_PORT)")
    add("--login", metavar="USER:PASSWORD", help=f"ask visitors for it (default: none, or {LOGIN_VARIABLE})")
    add(
        "--https",
        action="store_true",
        help="with a certificate made on the spot: phones in the network get their camera with it, too",
    )
    add(
        "--share",
        action="store_true",
        help="tunnel the page to a public address: faces then leave this machine",
    )
    add(
        "--longest-queue", type=int, default=defaults.longest_queue, metavar="N",
        help="requests that may wait before others are refused (default: %(default)s)",
    )  # fmt: skip
    add(
        "--largest-upload", default=defaults.largest_upload, metavar="SIZE",
        help="of one file (default: %(default)s)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    launch(
        options.weights,
        EXAMPLES,
        ServerOptions(
            host=options.host,
            port=options.port,
            login=options.login,
            https=options.https,
            share=options.share,
            longest_queue=options.longest_queue,
            largest_upload=options.largest_upload,
        ),
    )
    return 0
