"""`diffill lsp`: the language server, as an editor starts it."""

from __future__ import annotations

import ipaddress
import sys

import click


class LoopbackAddress(click.ParamType[tuple[str, int]]):
    """`HOST:PORT` on this machine: the protocol has no authentication, so nothing else is listened on."""

    name = "HOST:PORT"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        host, _, port = value.rpartition(":")
        host = host.strip("[]")
        if not (port.isascii() and port.isdecimal() and int(port) <= 65535):
            self.fail(f"{value!r} is not HOST:PORT", param, ctx)
        if not _is_loopback(host):
            self.fail(f"{host!r} is not a loopback address; use 127.0.0.1", param, ctx)
        return host, int(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@click.command()
@click.option(
    "--tcp", type=LoopbackAddress(), help="Serve one connection over TCP, for debugging. Loopback addresses only."
)
def lsp(tcp: tuple[str, int] | None) -> None:
    """Run the language server on standard input and output."""
    from diffill.lsp_server.__main__ import run

    sys.exit(run(tcp))
