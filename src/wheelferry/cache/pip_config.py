"""The user's package index, as he told pip: read from pip's configuration, for uv and for downloads."""

import ast
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3 import Retry

from wheelferry.errors import InputError, raise_all
from wheelferry.system.process import CommandRunner

# pip reads these sections for an install, the later ones winning.
_SECTIONS = ("global", "install", ":env:")


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexSettings:
    """Where packages come from. Empty values mean pip's default."""

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    trusted_hosts: tuple[str, ...] = ()

    def uv_environment(self) -> dict[str, str]:
        """The same settings as uv's environment variables, which show no passwords; see `uv_arguments`."""
        values = {
            # pip looks at every index and takes the best version; so must uv, or the two would differ
            "UV_INDEX_STRATEGY": "unsafe-best-match",
        }
        if self.index_url:
            values["UV_DEFAULT_INDEX"] = self.index_url
        if self.extra_index_urls:
            values["UV_INDEX"] = " ".join(self.extra_index_urls)
        if self.find_links:
            values["UV_FIND_LINKS"] = ",".join(self.find_links)
        if self.cert:
            values["SSL_CERT_FILE"] = self.cert
        if self.client_cert:
            values["SSL_CLIENT_CERT"] = self.client_cert
        if self.proxy:
            values["HTTPS_PROXY"] = values["HTTP_PROXY"] = values["ALL_PROXY"] = self.proxy
        if self.trusted_hosts:
            values["UV_INSECURE_HOST"] = " ".join(self.trusted_hosts)
        return values

    @property
    def uv_arguments(self) -> tuple[str, ...]:
        """What uv takes as an argument alone."""
        return ("--no-index",) if self.no_index else ()

    def session(self, *, connections: int = 8, retries: Retry | int = 0) -> requests.Session:
        """An HTTP session with pip's certificates, proxies and credentials (netrc is requests' own)."""
        session = requests.Session()
        adapter = HTTPAdapter(pool_connections=connections, pool_maxsize=connections, max_retries=retries)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        if self.cert:
            session.verify = self.cert
        if self.client_cert:
            session.cert = self.client_cert
        if self.proxy:
            session.proxies = {"http": self.proxy, "https": self.proxy}
        return session

    def auth_for(self, url: str) -> HTTPBasicAuth | None:
        """Credentials written into an index URL count for files on the same host."""
        host = urlsplit(url).hostname
        for index in (self.index_url, *self.extra_index_urls, *self.find_links):
            parts = urlsplit(index or "")
            if parts.username and parts.hostname == host:
                return HTTPBasicAuth(unquote(parts.username), unquote(parts.password or ""))
        return None

    def access(self, url: str, session: requests.Session) -> dict[str, Any]:
        """Credentials and certificate rules for `url`, as arguments of a request of that session."""
        return {"auth": self.auth_for(url), "verify": False if self.trusts(url) else session.verify}

    def trusts(self, url: str) -> bool:
        """Whether the user told pip to accept this host without a valid certificate."""
        parts = urlsplit(url)
        return parts.hostname in self.trusted_hosts or parts.netloc in self.trusted_hosts


def public_url(text: str) -> str:
    """An address without what may be secret in it: user, password, and the query, which may sign it."""
    parts = urlsplit(text)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def read_pip_configuration(run: CommandRunner) -> IndexSettings:
    """Ask pip what its configuration files and ``PIP_…`` variables say.

    Raises InputError for what cannot be: see `check_settings`.
    """
    result = run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"],
        step="read pip's configuration",
        # UTF-8: on Windows a path in the configuration may have letters that the code page has not
        env={**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONUTF8": "1"},
        error=InputError,
        hint="correct pip's configuration (pip config debug shows its files)",
    )
    settings = parse_pip_configuration(result.output)
    check_settings(settings, os.environ)
    return settings


# What requests and uv are told beside pip, and read in its place or where it says nothing.
_OTHER_INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")
_OTHER_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def check_settings(settings: IndexSettings, environ: Mapping[str, str]) -> None:
    """Raise InputError for an index that is no address, and for certificates that are not there.

    Both would be told late, as requirements that cannot be met, or not at all. The errors name the variable
    or pip's option that says so.
    """
    raise_all(_wrong_indexes(settings, environ))
    certificates = [(_place("cert", environ), settings.cert)]
    certificates += [(_place("client-cert", environ), settings.client_cert)]
    if not settings.cert:
        certificates += [(name, environ.get(name)) for name in _OTHER_CERTIFICATES]
    raise_all(
        InputError(f"{place} names {path}, which does not exist", hint=f"correct {place}, or unset it")
        for place, path in certificates
        if path and not Path(path).expanduser().exists()
    )


def _wrong_indexes(settings: IndexSettings, environ: Mapping[str, str]) -> Iterator[InputError]:
    stated = [(_place("index-url", environ), settings.index_url)]
    stated += [(_place("extra-index-url", environ), url) for url in settings.extra_index_urls]
    if not settings.index_url:
        stated += [(name, environ.get(name)) for name in _OTHER_INDEXES]
    for place, url in stated:
        if url and not is_index(url):
            yield InputError(
                f"{place} is no address of a package index: {url.rpartition('@')[2]}",
                hint="write it as in https://pypi.org/simple",
            )


def _place(option: str, environ: Mapping[str, str]) -> str:
    """Where pip has an option from: the variable, which counts first, or its files."""
    variable = f"PIP_{option.upper().replace('-', '_')}"
    return variable if environ.get(variable) else f"{option} in pip's configuration"


def is_index(text: str) -> bool:
    """Whether a text can be where an index is: an address, or a folder of this machine."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    if parts.scheme in ("http", "https"):
        return bool(parts.hostname)
    return parts.scheme == "file" or Path(text).is_dir()


def index_in_words(settings: IndexSettings, environ: Mapping[str, str]) -> str:
    """Where packages are looked for, and what says so; for a sentence."""
    if settings.no_index:
        folders = " ".join(map(public_url, settings.find_links)) or "no folder"
        return f"{folders} ({_place('no-index', environ)} leaves out all others)"
    for place, url in [
        (_place("index-url", environ), settings.index_url),
        *((name, environ.get(name)) for name in _OTHER_INDEXES),
    ]:
        if url:
            return f"{public_url(url)} ({place})"
    return "https://pypi.org/simple (nothing names another)"


def parse_pip_configuration(listing: str) -> IndexSettings:
    """Turn the output of ``pip config list`` into settings."""
    merged: dict[str, str] = {}
    for section in _SECTIONS:
        merged.update(_section(listing, section))
    return _settings(merged)


def _section(listing: str, section: str) -> dict[str, str]:
    values = {}
    for line in listing.splitlines():
        key, equals, quoted = line.partition("=")
        name, _, option = key.rpartition(".")
        if equals and name == section:
            values[option] = str(ast.literal_eval(quoted))
    return values


def _settings(merged: Mapping[str, str]) -> IndexSettings:
    return IndexSettings(
        index_url=merged.get("index-url"),
        extra_index_urls=tuple(merged.get("extra-index-url", "").split()),
        find_links=tuple(merged.get("find-links", "").split()),
        no_index=merged.get("no-index", "").lower() in ("1", "true", "yes", "on"),
        cert=merged.get("cert"),
        client_cert=merged.get("client-cert"),
        proxy=merged.get("proxy"),
        trusted_hosts=tuple(merged.get("trusted-host", "").split()),
    )
