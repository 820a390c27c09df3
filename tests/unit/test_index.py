"""The user's pip configuration, as pip lists it."""

from wheelferry.cache.pip_config import IndexSettings, parse_pip_configuration

LISTING = """\
:env:.find-links='/srv/links'
:env:.timeout='60'
download.index-url='https://other.example/simple'
global.cert='/etc/ca.pem'
global.extra-index-url='https://two.example/simple\\nhttps://three.example/simple'
global.find-links='/srv/wheels'
global.index-url='https://user:p%40ss@one.example/simple'
global.trusted-host='one.example two.example:8443'
install.proxy='http://proxy.example:3128'
"""


def test_sections_win_in_pips_order() -> None:
    settings = parse_pip_configuration(LISTING)
    assert settings == IndexSettings(
        index_url="https://user:p%40ss@one.example/simple",
        extra_index_urls=("https://two.example/simple", "https://three.example/simple"),
        find_links=("/srv/links",),
        cert="/etc/ca.pem",
        proxy="http://proxy.example:3128",
        trusted_hosts=("one.example", "two.example:8443"),
    )


def test_uv_is_told_the_same() -> None:
    environment = parse_pip_configuration(LISTING).uv_environment()
    assert environment["UV_DEFAULT_INDEX"] == "https://user:p%40ss@one.example/simple"
    assert environment["UV_INDEX"] == "https://two.example/simple https://three.example/simple"
    assert environment["UV_FIND_LINKS"] == "/srv/links"
    assert environment["SSL_CERT_FILE"] == "/etc/ca.pem"
    assert environment["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert environment["UV_INDEX_STRATEGY"] == "unsafe-best-match"


def test_no_configuration_changes_nothing_but_the_strategy() -> None:
    assert parse_pip_configuration("") == IndexSettings()
    assert IndexSettings().uv_environment() == {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    assert IndexSettings().uv_arguments == ()
    assert parse_pip_configuration("global.no-index='true'\n").uv_arguments == ("--no-index",)


def test_credentials_in_an_index_url_count_for_its_host_only() -> None:
    settings = parse_pip_configuration(LISTING)
    auth = settings.auth_for("https://one.example/files/x.whl")
    assert auth is not None
    assert (auth.username, auth.password) == ("user", "p@ss")
    assert settings.auth_for("https://elsewhere.example/x.whl") is None


def test_trusted_hosts_with_and_without_port() -> None:
    settings = parse_pip_configuration(LISTING)
    assert settings.trusts("https://one.example/x")
    assert settings.trusts("https://two.example:8443/x")
    assert not settings.trusts("https://two.example/x")
