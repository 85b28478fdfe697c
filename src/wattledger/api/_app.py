"""The FastAPI application: routes, problem documents, live streams and the built pages."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

import wattledger
from wattledger import billing, notices, prepay, registry
from wattledger.api import _views as views
from wattledger.api import models as m
from wattledger.api._evidence import add_evidence
from wattledger.api._exceptions import ReviewDesk, add_exceptions
from wattledger.api._notices import add_notices
from wattledger.evidence import Signer
from wattledger.kernel import Clock, Money, Problem
from wattledger.store import Store

PREFIX = "/api/v1"
_STREAM_PERIOD_SECONDS = 1.0
_HEARTBEAT_ROUNDS = 15
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ApiServices:
    """What the HTTP edge is given by ``app.py``."""

    store: Store
    clock: Clock
    clock_speed: int
    zone: str
    start_bill_run: Callable[[str], billing.BillRun]
    wake_worker: Callable[[], None]
    desk: ReviewDesk
    pages: Path | None
    channels: Sequence[notices.Channel] = ()
    metrics: Callable[[], str] | None = None
    signer: Signer | None = None


class RequestRefused(Problem):
    """Something in the request itself is wrong."""

    slug = "request-refused"
    title = "The request is not as it should be"
    status = 422


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": m.ProblemView, "content": {"application/problem+json": {}}} for code in (404, 409, 422)
}


def create_api(services: ApiServices) -> FastAPI:
    """The application over one system. ``/api/v1`` is the API, ``/app`` and ``/console`` are the pages."""
    api = FastAPI(
        title="Wattledger",
        version=wattledger.__version__,
        description="Meter-to-cash: accounts, balances, usage, recharges and bills. Decimal strings, UTC instants.",
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        separate_input_output_schemas=False,
    )
    _add_problem_documents(api)
    _add_contract_reads(api, services)
    _add_money_reads(api, services)
    _add_actions(api, services)
    add_exceptions(api, prefix=PREFIX, store=services.store, desk=services.desk, problems=_PROBLEMS)
    add_notices(api, prefix=PREFIX, store=services.store, clock=services.clock, channels=services.channels)
    add_evidence(
        api,
        prefix=PREFIX,
        store=services.store,
        clock=services.clock,
        signer=services.signer,
        problems=_PROBLEMS,
    )
    _add_streams(api, services)
    _add_metrics(api, services)
    _add_pages(api, services.pages)
    return api


def serve(api: FastAPI, *, host: str, port: int, stop: threading.Event) -> None:
    """Serve ``api`` until ``stop`` is set; for a thread of its own."""
    api.state.stop = stop  # live streams end by themselves then, and need not be torn
    server = uvicorn.Server(
        uvicorn.Config(api, host=host, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    )

    def watch() -> None:
        stop.wait()
        server.should_exit = True

    threading.Thread(target=watch, name="wattledger-api-stop", daemon=True).start()
    # Signals belong to the main thread: without this, uvicorn would install its own handlers there.
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # an older uvicorn's hook, harmless now
    server.run()


def _problem_response(
    *, slug: str, title: str, status: int, detail: str, instance: str, remedy: str | None = None, **members: object
) -> JSONResponse:
    body = {
        "type": f"https://wattledger.org/problems/{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
        **({"remedy": remedy} if remedy else {}),
        **members,
    }
    return JSONResponse(body, status_code=status, media_type="application/problem+json")


def _add_problem_documents(api: FastAPI) -> None:
    @api.exception_handler(Problem)
    async def anticipated(request: Request, problem: Problem) -> JSONResponse:
        return _problem_response(
            slug=problem.slug,
            title=problem.title,
            status=problem.status,
            detail=problem.detail,
            instance=request.url.path,
            remedy=problem.remedy,
            **{name: str(value) for name, value in problem.members.items()},
        )

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [{"at": ".".join(str(part) for part in e["loc"]), "cause": e["msg"]} for e in error.errors()]
        return _problem_response(
            slug="request-refused",
            title="The request is not as it should be",
            status=422,
            detail="; ".join(f"{fault['at']}: {fault['cause']}" for fault in faults),
            instance=request.url.path,
            errors=faults,
        )

    @api.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> JSONResponse:
        return _problem_response(
            slug=HTTPStatus(error.status_code).phrase.lower().replace(" ", "-"),
            title=HTTPStatus(error.status_code).phrase,
            status=error.status_code,
            detail=str(error.detail),
            instance=request.url.path,
        )


def _add_metrics(api: FastAPI, services: ApiServices) -> None:
    """What Prometheus reads, where its scrapers look for it; no part of the API."""
    metrics = services.metrics
    if metrics is None:
        return

    @api.get("/metrics", include_in_schema=False)
    def told() -> Response:
        return Response(metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def _add_contract_reads(api: FastAPI, services: ApiServices) -> None:
    store, clock = services.store, services.clock

    @api.get(f"{PREFIX}/health", operation_id="health")
    def health() -> m.Health:
        with store.read():
            return m.Health(
                status="ok",
                version=wattledger.__version__,
                store="sqlite" if store.dialect == "sqlite" else "postgresql",
                now=clock.now(),
                clock_speed=services.clock_speed,
            )

    @api.get(f"{PREFIX}/contracts", operation_id="listContracts")
    def contracts(
        mode: m.PaymentMode | None = None,
        q: str | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> m.ContractList:
        with store.read() as tx:
            now = clock.now()
            found = registry.contracts(tx, at=now, mode=mode, text=q, limit=limit, offset=offset)
            total = registry.contract_count(tx, at=now, mode=mode, text=q)
        return m.ContractList(items=[views.contract_summary(one) for one in found], total=total)

    @api.get(f"{PREFIX}/accounts/{{account_id}}", operation_id="getAccount", responses=_PROBLEMS)
    def account(account_id: str) -> m.AccountView:
        with store.read() as tx:
            found = registry.account(tx, account_id=account_id)
            theirs = registry.accounts_contracts(tx, account_id=account_id, at=clock.now())
        return m.AccountView(
            id=found.id,
            name=found.name,
            language=found.language,
            contracts=[views.contract_summary(one) for one in theirs],
        )

    @api.get(f"{PREFIX}/contracts/{{contract_id}}/balance", operation_id="getBalance", responses=_PROBLEMS)
    def balance(contract_id: str) -> m.BalanceView:
        with store.read() as tx:
            now = clock.now()
            registry.contract(tx, contract_id=contract_id, at=now)
            return views.balance_view(prepay.wallet(tx, contract_id=contract_id, now=now), now)

    @api.get(f"{PREFIX}/contracts/{{contract_id}}/home", operation_id="getHome", responses=_PROBLEMS)
    def home(contract_id: str) -> m.HomeView:
        with store.read() as tx:
            return views.home_view(tx, contract_id=contract_id, now=clock.now(), clock_speed=services.clock_speed)

    @api.get(f"{PREFIX}/contracts/{{contract_id}}/usage", operation_id="getUsage", responses=_PROBLEMS)
    def usage(contract_id: str, start: str | None = None, end: str | None = None) -> m.UsageView:
        with store.read() as tx:
            now = clock.now()
            period = views.requested_period(start, end, now=now)
            return views.usage_view(tx, contract_id=contract_id, period=period, now=now)


def _add_money_reads(api: FastAPI, services: ApiServices) -> None:
    store, clock = services.store, services.clock

    @api.get(f"{PREFIX}/recharges/{{recharge_id}}", operation_id="getRecharge", responses=_PROBLEMS)
    def recharge(recharge_id: str) -> m.RechargeView:
        with store.read() as tx:
            found = prepay.recharge_with_id(tx, recharge_id=recharge_id)
            return views.recharge_view(tx, found)

    @api.get(f"{PREFIX}/contracts/{{contract_id}}/bills", operation_id="listBills", responses=_PROBLEMS)
    def bills(contract_id: str) -> m.BillList:
        with store.read() as tx:
            registry.contract(tx, contract_id=contract_id, at=clock.now())
            found = billing.bills_of(tx, contract_id=contract_id)
        return m.BillList(items=[views.bill_view(one) for one in found])

    @api.get(f"{PREFIX}/bills/{{bill_id}}", operation_id="getBill", responses=_PROBLEMS)
    def bill(bill_id: str) -> m.BillView:
        with store.read() as tx:
            return views.bill_view(billing.bill_with_id(tx, bill_id=bill_id))

    @api.get(f"{PREFIX}/bill-runs/{{run_id}}", operation_id="getBillRun", responses=_PROBLEMS)
    def bill_run(run_id: str) -> m.BillRunView:
        with store.read() as tx:
            return views.bill_run_view(billing.bill_run_with_id(tx, run_id=run_id))

    @api.get(f"{PREFIX}/overview", operation_id="getOverview")
    def overview() -> m.OverviewView:
        with store.read() as tx:
            return views.overview_view(tx, now=clock.now(), clock_speed=services.clock_speed, zone=services.zone)


def _add_actions(api: FastAPI, services: ApiServices) -> None:
    @api.post(
        f"{PREFIX}/contracts/{{contract_id}}/recharges",
        status_code=201,
        operation_id="createRecharge",
        responses=_PROBLEMS,
    )
    def recharge(
        contract_id: str,
        request: m.RechargeRequest,
        idempotency_key: Annotated[
            str, Header(min_length=1, max_length=200, description="Made by the client; kept until an answer comes")
        ],
    ) -> m.RechargeView:
        with services.store.write() as tx:
            now = services.clock.now()
            contract = registry.contract(tx, contract_id=contract_id, at=now)
            done = prepay.recharge(
                tx,
                contract_id=contract.id,
                amount=_amount(request.amount, contract.currency),
                method=request.method,
                key=idempotency_key,
                now=now,
            )
        services.wake_worker()
        with services.store.read() as tx:
            return views.recharge_view(tx, done)

    @api.post(f"{PREFIX}/bill-runs", status_code=202, operation_id="startBillRun", responses=_PROBLEMS)
    def start_bill_run(request: m.BillRunRequest) -> m.BillRunView:
        return views.bill_run_view(services.start_bill_run(request.month))


def _amount(text: str, currency: str) -> Money:
    try:
        return Money.of(Decimal(text), currency)
    except (InvalidOperation, ValueError) as error:
        raise RequestRefused(f"amount: {error}", remedy="write it as 20.00") from error


def _add_streams(api: FastAPI, services: ApiServices) -> None:
    store, clock = services.store, services.clock

    @api.get(
        f"{PREFIX}/contracts/{{contract_id}}/home/stream",
        operation_id="streamHome",
        responses=_PROBLEMS,
        response_class=StreamingResponse,
    )
    def home_stream(contract_id: str, request: Request) -> StreamingResponse:
        """Server-sent events named ``home``, each a whole HomeView, whenever it changed."""

        def look() -> str:
            with store.read() as tx:
                view = views.home_view(tx, contract_id=contract_id, now=clock.now(), clock_speed=services.clock_speed)
            return view.model_dump_json()

        look()  # a contract that does not exist is refused before the stream begins
        return _events("home", look, request)

    @api.get(f"{PREFIX}/overview/stream", operation_id="streamOverview", response_class=StreamingResponse)
    def overview_stream(request: Request) -> StreamingResponse:
        """Server-sent events named ``overview``, each a whole OverviewView, whenever it changed."""
        return _events("overview", shared_overview, request)

    latest: dict[str, tuple[float, str]] = {}
    lock = threading.Lock()

    def shared_overview() -> str:
        # Every open console shows the same: one look a second serves them all.
        with lock:
            at, text = latest.get("overview", (0.0, ""))
            loop_now = time.monotonic()
            if loop_now - at >= _STREAM_PERIOD_SECONDS / 2:
                with store.read() as tx:
                    view = views.overview_view(
                        tx, now=clock.now(), clock_speed=services.clock_speed, zone=services.zone
                    )
                text = view.model_dump_json()
                latest["overview"] = (loop_now, text)
            return text


def _events(name: str, look: Callable[[], str], request: Request) -> StreamingResponse:
    async def stream() -> AsyncIterator[str]:
        last, quiet = "", 0
        stop: threading.Event | None = getattr(request.app.state, "stop", None)
        yield "retry: 2000\n\n"
        while not await request.is_disconnected() and not (stop is not None and stop.is_set()):
            text = await asyncio.to_thread(look)
            if text != last:
                last, quiet = text, 0
                yield f"event: {name}\ndata: {text}\n\n"
            elif (quiet := quiet + 1) % _HEARTBEAT_ROUNDS == 0:
                yield ": still here\n\n"
            await asyncio.sleep(_STREAM_PERIOD_SECONDS)

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _add_pages(api: FastAPI, pages: Path | None) -> None:
    policy = _content_security_policy("" if pages is None else (pages / "index.html").read_text(encoding="utf-8"))

    @api.middleware("http")
    async def guard(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call(request)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Content-Security-Policy"] = policy
        return response

    @api.get("/", include_in_schema=False)
    def front_door() -> Response:
        return RedirectResponse("/console" if pages else f"{PREFIX}/openapi.json")

    if pages is None:
        return
    api.mount("/assets", StaticFiles(directory=pages / "assets"), name="assets")

    @api.get("/app", include_in_schema=False)
    @api.get("/app/{path:path}", include_in_schema=False)
    @api.get("/console", include_in_schema=False)
    @api.get("/console/{path:path}", include_in_schema=False)
    def page(path: str = "") -> FileResponse:  # noqa: ARG001 - the page itself reads its path
        return FileResponse(pages / "index.html", headers={"Cache-Control": "no-cache"})


def _content_security_policy(index: str) -> str:
    """Only our own scripts run; those that stand in the page itself are allowed by their hash."""
    hashes = "".join(
        f" 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in _INLINE_SCRIPT.findall(index)
    )
    return (
        f"default-src 'self'; script-src 'self'{hashes}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )
