"""What is audited, as its owner describes it in `target.yaml`. A part that is missing is no mistake: what
needs it is not assessed. `${NAME}` stands for the environment, so that passwords need not be written down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from chaos_locust.data import Data, PositiveSeconds, nested_in
from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.plan.documents import load_yaml, parse
from compliance.target_documents import Documents

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_URL = r"^https?://[^\s/]+\S*$"


class Exchange(Data):
    """A request. `{id}` in its path, and `{old}` and `{new}` in its JSON, stand for what a measure puts
    there."""

    method: Method = "GET"
    path: str = Field(pattern="^/")
    body: Mapping[str, Any] | None = Field(default=None, alias="json")


class Http(Data):
    """url: as users reach it. ca: a file of certificates that its own is signed by; without: the system's.
    plain: the same service without TLS, where there is one. public: paths that need no log-in; `*` at the end
    stands for anything."""

    url: str = Field(pattern=_URL)
    ca: Path | None = None
    plain: str | None = Field(default=None, pattern=_URL)
    openapi: str | None = Field(default=None, pattern="^/")
    routes: tuple[Annotated[Exchange, nested_in(Exchange)], ...] = ()
    public: tuple[str, ...] = ()
    timeout_s: PositiveSeconds = Field(default=10.0, alias="timeout")


class Login(Exchange):
    """`{user}` and `{password}` in its JSON. token: where the answer's JSON has the token; it is sent as a
    bearer. logout: ends the session of the token it is sent with. elsewhere: what is added to its JSON for a
    token that is for another service."""

    method: Method = "POST"
    token: str = "access_token"
    elsewhere: Mapping[str, Any] | None = None
    logout: Annotated[Exchange | None, nested_in(Exchange)] = None
    change_password: Annotated[Exchange | None, nested_in(Exchange)] = None


class Account(Data):
    user: str = Field(min_length=1)
    password: str = Field(min_length=1)
    role: str = ""


class Owned(Data):
    """Something that belongs to its user. create: a request that makes one; id: where its answer's JSON has
    the id; read: the path of it, with `{id}`."""

    create: Annotated[Exchange, nested_in(Exchange)]
    id: str = "id"
    read: str = Field(pattern=r"^/.*\{id\}")


class Privileged(Exchange):
    """A request that only accounts of these roles may make."""

    roles: tuple[str, ...] = Field(min_length=1)


class AuditLog(Data):
    """read: the records as a JSON list, newest first or last, for accounts of `role`; fields: what the
    record's time, user, action, object and outcome are called. retention_days: how long it is kept, as
    stated. table: where the records are, in `postgres`."""

    read: str = Field(pattern="^/")
    role: str
    fields: Mapping[Literal["at", "user", "action", "object", "outcome", "source"], str] = {}
    retention_days: int | None = None
    table: str | None = None
    patience_s: PositiveSeconds = Field(default=5.0, alias="patience")


class AccountsList(Exchange):
    """All accounts as a JSON list, for accounts of `role`. fields: what the user, the time of his last
    log-in, when the account was made, and whether it can be used (true or false) are called in it."""

    role: str
    fields: Mapping[Literal["user", "last_login", "made_at", "enabled"], str] = {}


class Availability(Data):
    """What is promised: which share of requests for `path` is answered well, within `http.timeout`. As many
    `samples` are taken, spread over `window`; to tell 99 % from less, 299 at least."""

    path: str = Field(pattern="^/")
    promised: float = Field(gt=0, lt=1)
    samples: int = Field(ge=1, le=100_000)
    window_s: PositiveSeconds = Field(alias="window")


class Processing(Data):
    """Orders, or whatever is counted and paid for. create: a request that makes one; quantity: the name in
    its JSON of how many. id, amount: where its answer's JSON has them. price: a request that tells what one
    costs, at `price_at`. stored: SQL that gives id and amount of those whose ids, as text, are `= ANY(%s)`;
    queued: SQL that gives the ids of those that were passed on."""

    create: Annotated[Exchange, nested_in(Exchange)]
    quantity: str = "quantity"
    id: str = "id"
    amount: str = "amount"
    price: Annotated[Exchange, nested_in(Exchange)]
    price_at: str = "price"
    stored: str = Field(pattern=r"%s")
    queued: str | None = Field(default=None, pattern=r"%s")
    patience_s: PositiveSeconds = Field(default=5.0, alias="patience")


class PersonalData(Data):
    """create: makes an account to be thrown away, of `{user}` and `{password}`; role: whose accounts may do
    that; without, anybody may. export, erase: what its user then asks for. kept: tables in which the name
    may stay, because the law wants it. visits: what the user looks at before, which may be cached."""

    create: Annotated[Exchange, nested_in(Exchange)]
    role: str | None = None
    export: Annotated[Exchange | None, nested_in(Exchange)] = None
    erase: Annotated[Exchange, nested_in(Exchange)]
    visits: tuple[Annotated[Exchange, nested_in(Exchange)], ...] = ()
    kept: tuple[str, ...] = ()
    patience_s: PositiveSeconds = Field(default=5.0, alias="patience")


class Metrics(Data):
    """url: in Prometheus' text format. needed: metrics that must be there. alerts: a Prometheus or
    Alertmanager, whose alerts can be asked for."""

    url: str = Field(pattern=_URL)
    needed: tuple[str, ...] = ()
    alerts: str | None = Field(default=None, pattern=_URL)


class Postgres(Data):
    """url: as an administrator sees it. app_role: the role that the service uses."""

    url: str
    app_role: str | None = None


class Redis(Data):
    """url: with the credentials of the service. open_url: the same server without any."""

    url: str
    open_url: str | None = None


class Backups(Data):
    """folder: a file or folder for each backup, the newest counts. restore: a command that restores
    `{backup}` into something that is thrown away, and prints JSON of what it found in it."""

    folder: Path
    restore: tuple[str, ...] | None = None


class Network(Data):
    """host: whose ports are looked at. open: those that may be; closed: those that must not be reachable from
    where the audit runs, such as a database's."""

    host: str = "127.0.0.1"
    allowed: tuple[int, ...] = Field(default=(), alias="open")
    forbidden: tuple[int, ...] = Field(default=(), alias="closed")


class Dependencies(Data):
    """requirements: a list of pinned packages. sbom: a CycloneDX or SPDX file. vulnerabilities: a file in
    OSV's form, by which they are judged."""

    requirements: Path | None = None
    sbom: Path | None = None
    vulnerabilities: Path | None = None


class Kubernetes(Data):
    """kubeconfig: without it, that of kubectl, or that of the pod that the audit runs in. admins: users and
    groups that may do everything in the namespace, and are known to."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str = Field(pattern="^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    admins: tuple[str, ...] = ()


class Logs(Data):
    """files: what the service writes, to be searched for secrets."""

    files: tuple[Path, ...] = Field(min_length=1)


class ContinuousMonitoring(Data):
    """audits: the folder in which the audits of the target are kept (`compliance audit --output`)."""

    audits: Path


class Target(Data):
    """canary: an account that measures may lock out or change, when that is allowed. profiles: by framework,
    the one that applies, which its owner says."""

    name: str = Field(min_length=1)
    profiles: Mapping[Literal["fisma", "fedramp", "soc2", "hipaa", "pcidss"], str] = {}
    http: Annotated[Http | None, nested_in(Http)] = None
    login: Annotated[Login | None, nested_in(Login)] = None
    accounts: tuple[Annotated[Account, nested_in(Account)], ...] = ()
    canary: Annotated[Account | None, nested_in(Account)] = None
    owned: Annotated[Owned | None, nested_in(Owned)] = None
    privileged: tuple[Annotated[Privileged, nested_in(Privileged)], ...] = ()
    audit_log: Annotated[AuditLog | None, nested_in(AuditLog)] = None
    accounts_list: Annotated[AccountsList | None, nested_in(AccountsList)] = None
    availability: Annotated[Availability | None, nested_in(Availability)] = None
    processing: Annotated[Processing | None, nested_in(Processing)] = None
    personal_data: Annotated[PersonalData | None, nested_in(PersonalData)] = None
    metrics: Annotated[Metrics | None, nested_in(Metrics)] = None
    postgres: Annotated[Postgres | None, nested_in(Postgres)] = None
    redis: Annotated[Redis | None, nested_in(Redis)] = None
    backups: Annotated[Backups | None, nested_in(Backups)] = None
    network: Annotated[Network | None, nested_in(Network)] = None
    dependencies: Annotated[Dependencies | None, nested_in(Dependencies)] = None
    kubernetes: Annotated[Kubernetes | None, nested_in(Kubernetes)] = None
    logs: Annotated[Logs | None, nested_in(Logs)] = None
    documents: Annotated[Documents | None, nested_in(Documents)] = None
    continuous_monitoring: Annotated[ContinuousMonitoring | None, nested_in(ContinuousMonitoring)] = None

    def profile(self, framework: str) -> str | None:
        """Which of its profiles applies; None: nothing is said."""
        return next((profile for name, profile in self.profiles.items() if name == framework), None)

    def account(self, role: str) -> Account | None:
        """The first of that role."""
        return next((each for each in self.accounts if each.role == role), None)

    def has(self, part: str) -> bool:
        return bool(getattr(self, part))


PARTS = tuple(name for name in Target.model_fields if name != "name")


def load_target(path: Path, environ: Mapping[str, str]) -> Target:
    """Paths in it are taken from where the file is. Raises InvalidPlan with every problem."""
    data = load_yaml(path)
    if not isinstance(data, Mapping):
        raise InvalidPlan([Problem(str(path), "must be a mapping that begins with name: ...")])
    target = parse(Target, data, environ)
    return _based(target, path.parent)


def _based(target: Target, folder: Path) -> Target:
    """Pydantic's copies are not validated again, and need not be: only paths change."""

    def moved(value: Any) -> Any:
        if isinstance(value, Path):
            return folder / value
        if isinstance(value, tuple):
            return tuple(map(moved, value))
        if isinstance(value, Data):
            return value.model_copy(
                update={name: moved(getattr(value, name)) for name in type(value).model_fields}
            )
        return value

    based: Target = moved(target)
    return based
