"""song-studio: a page in the browser to choose a style, press and listen."""

from __future__ import annotations

import contextlib
import json
import socket
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from hierarchy import cli

PORT = 7860


def song_studio(
    model: Annotated[
        list[Path] | None,
        typer.Option(
            help="Add the styles of a model of your own: a folder from train-grains. "
            "May be given several times; the first one's style is chosen at first."
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. 0.0.0.0 lets everybody in your network in."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help=f"*Default: {PORT}, or another free one.*"),
    ] = None,
    also_known_as: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name by which browsers may call this machine, such as studio.local.",
        ),
    ] = None,
    most_upload: Annotated[
        int, typer.Option(min=1, max=20_000, help="Of one album, in megabytes.")
    ] = 2048,
    browser: Annotated[
        bool, typer.Option(help="Open the page in your browser.")
    ] = True,
) -> None:
    """Open the studio: choose a style, press once, listen.

    The page opens in your browser; nobody but you can reach it. Ctrl-C closes the
    studio, and removes what was made there: download what you want to keep.

    Examples:

        song-studio

        song-studio --model work/grains

        song-studio --host 0.0.0.0 --also-known-as studio.local --no-browser
    """
    try:
        import uvicorn
    except ImportError:
        raise cli.RequestError(
            "the studio needs a few packages more: pip install 'macrotime[studio]'"
        ) from None
    from hierarchy.studio.guards import HostNames, is_loopback
    from hierarchy.studio.server import Studio, make_app

    styles = [style for folder in model or () for style in styles_of(folder)]
    styles += styles_of(None)
    studio = Studio(
        styles,
        base=styles[0].model,
        most_bytes=most_upload << 20,
    )
    app = make_app(studio, HostNames(host, also_known_as or ()))
    with contextlib.closing(listen_on(host, port)) as listener:
        shown = "localhost" if is_loopback(host) or host in ("0.0.0.0", "::") else host
        url = f"http://{shown}:{listener.getsockname()[1]}/"
        cli.say(f"song-studio: {url}  (Ctrl-C closes it)")
        if not is_loopback(host):
            cli.say("song-studio: everybody who can reach this machine can use it")

        class Server(uvicorn.Server):
            async def startup(self, sockets=None) -> None:
                await super().startup(sockets)
                if browser:
                    webbrowser.open(url)

        config = uvicorn.Config(
            app,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=2,
            # What a proxy says of whom it speaks for is not believed.
            proxy_headers=False,
            ws="none",
            loop="asyncio",
        )
        # Ctrl-C is how a studio is closed, not how it fails.
        with contextlib.suppress(KeyboardInterrupt):
            Server(config).run(sockets=[listener])


def styles_of(folder: Path | None) -> list:
    """The styles of a model, the default one first; None is the model that ships.

    Raises:
        RequestError: if there is no model in the folder.
    """
    from hierarchy.studio.visitors import Style

    place = cli.PRETRAINED / "grains" if folder is None else folder.absolute()
    try:
        facts = json.loads((place / "config.json").read_text(encoding="utf-8"))
        names = list(facts["config"]["styles"])
        first = (facts.get("extra") or {}).get("default_style")
    except (OSError, ValueError, KeyError, TypeError):
        raise cli.RequestError(
            f"--model {folder}: there is no grain model in that folder; train-grains "
            "makes one"
        ) from None
    names = [n for n in names if (place / "gestures" / f"{n}.safetensors").is_file()]
    model = None if folder is None else str(place)
    return [
        Style(name if model is None else f"{name} ({place.name})", model, name)
        for name in sorted(names, key=lambda name: name != first)
    ]


def listen_on(host: str, port: int | None) -> socket.socket:
    """A socket that waits for visitors.

    Raises:
        RequestError: if the address or the port cannot be had.
    """
    wanted = [PORT, 0] if port is None else [port]
    for number in wanted:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, number))
        except OSError as error:
            listener.close()
            if number == wanted[-1]:
                raise cli.RequestError(
                    f"cannot listen on {host}, port {number}: {error.strerror}"
                ) from None
        else:
            return listener
    raise AssertionError("unreachable")


main = cli.command(song_studio)
