"""The page on which a person guesses, over HTTP on this machine alone.

What reaches the browser before an image is answered: its number, its pixels, and the names of all classes. Labels and
file names stay here. Other sites' pages and other users of the machine are kept out: the server listens on the loopback
address, answers to its own host names (against DNS rebinding), below a path that nobody can guess, and takes guesses
from its own origin only. The page's content policy forbids every other request.
"""

import secrets
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel

from topfive.data.imageset import ClassLabel
from topfive.errors import MissingExtra, TopfiveError
from topfive.evaluation import person
from topfive.serving.sitting import Sitting

if TYPE_CHECKING:
    from fastapi import FastAPI

HERE = "127.0.0.1"
HOSTS = [HERE, "localhost"]
GRACE = 2  # seconds for what is under way when the server ends

Place = Callable[[], dict[str, Any]]


class Answer(BaseModel):
    """What the page sends: for which image, and class numbers, the best guess first."""

    place: int
    guesses: list[int]


def names_of(classes: Sequence[ClassLabel]) -> list[str]:
    """The names to choose from; two classes of one name are told apart by their keys."""
    often = Counter(label.name for label in classes)
    return [label.name if often[label.name] == 1 else f"{label.name} ({label.key})" for label in classes]


def check_extra() -> None:
    """MissingExtra unless what the page is served by is installed."""
    if not all(find_spec(name) for name in ("fastapi", "uvicorn")):
        raise MissingExtra("measure-yourself: needs fastapi and uvicorn; pip install 'topfive[serve]'")


def build_app(sitting: Sitting, placed: Place, token: str, end: Callable[[], None]) -> "FastAPI":
    """The page at /TOKEN/. placed: the person's place, asked for when all is answered. end: called when it was shown.

    Every handler is a coroutine without a pause, so that two requests never meet in the sitting.
    """
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import HTMLResponse, JSONResponse
    from starlette.background import BackgroundTask
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    nonce = secrets.token_urlsafe(16)
    template = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    ).get_template("measure_yourself.html.jinja")  # fmt: skip
    names, most = names_of(sitting.data.classes), person.guesses_of(len(sitting.data.classes))
    policy = (
        f"default-src 'none'; img-src 'self' data:; connect-src 'self'; script-src 'nonce-{nonce}'; "
        f"style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )

    @app.middleware("http")
    async def guard(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call(request)
        response.headers.update({
            "Content-Security-Policy": policy, "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
        })  # fmt: skip
        return response

    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)

    @app.exception_handler(TopfiveError)
    async def say(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 409 if getattr(error, "exit_code", 1) == 2 else 500)

    @app.get(f"/{token}/")
    async def page() -> Response:
        shown = sitting.now()
        common = {"nonce": nonce, "name": sitting.data.name, "images": len(sitting.rows)}
        if shown is not None:
            return HTMLResponse(template.render(common, place=shown.place, names=names, most=most, placed=None))
        found = placed()
        text = {"head": person.head_line(found), "notes": person.notes(found)}
        words = {"error": person.error, "in_words": person.in_words}
        return HTMLResponse(template.render(common, placed=found, **text, **words), background=BackgroundTask(end))

    @app.get(f"/{token}/image/{{place}}")
    async def image(place: int) -> Response:
        shown = sitting.now()
        if shown is None or place != shown.place:
            return JSONResponse({"error": f"image {place + 1} is not asked for; reload the page"}, 404)
        return Response(shown.picture, media_type="image/png")

    @app.post(f"/{token}/answer")
    async def answer(request: Request, given: Answer) -> Response:
        if request.headers.get("origin") != f"http://{request.headers['host']}":
            return JSONResponse({"error": "guesses are taken from this page alone; open the address again"}, 403)
        sitting.answer(given.place, given.guesses)
        return JSONResponse({"answered": sitting.place})

    return app


def serve(sitting: Sitting, placed: Place, say: Callable[[str], None]) -> None:
    """Serve the page until every image is answered and the place was shown. say: is given the page's address.

    Ctrl-C ends it as everywhere, by KeyboardInterrupt; the answers are kept by then.
    """
    import uvicorn

    token = secrets.token_urlsafe(24)
    server: uvicorn.Server

    def end() -> None:
        server.should_exit = True

    config = uvicorn.Config(
        build_app(sitting, placed, token, end), log_config=None, log_level="warning", access_log=False,
        lifespan="off", timeout_graceful_shutdown=GRACE,
    )  # fmt: skip
    server = uvicorn.Server(config)
    with socket.create_server((HERE, 0)) as door:
        say(f"http://{HERE}:{door.getsockname()[1]}/{token}/")
        server.run(sockets=[door])
