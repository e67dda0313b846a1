"""Right files load into what they mean."""

from pathlib import Path

import pytest

from tidegate.config import Admin, Config, Quota, Rate, TokenBucket, load

RIGHT = Path(__file__).parent / "right"


def loaded(name: str, **environ: str) -> Config:
    return load(RIGHT / name, environ)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tidegate.yaml"
    path.write_text(text)
    return path


SERVICES = """
services:
  - {name: shop, targets: ["http://127.0.0.1:9000"], routes: [{name: shop}]}
"""


def test_the_example_of_the_design_loads_as_it_stands() -> None:
    config = loaded("design.yaml")
    assert config.plans["basic"].limits == (
        TokenBucket(name="steady", rate=Rate(20, "second"), burst=40),
        Quota(name="daily", quota=Rate(50000, "day")),
    )
    assert [tenant.name for tenant in config.tenants] == ["demo", "acme"]
    assert config.tenants[1].keys[0].value.get_secret_value() == "premium_user"
    route = config.services[0].routes[0]
    assert (route.paths, route.auth, route.strip_prefix) == (("/api/v1",), ("api-key",), False)
    assert config.redis.url == "embedded"


@pytest.mark.parametrize("switch", ["admin: false", "admin: off", "admin: {enabled: no}"])
def test_admin_can_be_switched_off_and_stays_off_whatever_its_port_is(
    tmp_path: Path, switch: str
) -> None:
    off = written(tmp_path, f"version: 1\n{switch}{SERVICES}")
    assert not load(off, {"TIDEGATE_ADMIN_PORT": "8005"}).admin.enabled
    on = written(tmp_path, f"version: 1\nadmin: true{SERVICES}")
    assert load(on, {"TIDEGATE_ADMIN_PORT": "8005"}).admin == Admin(enabled=True, port=8005)


def test_short_forms_mean_the_same_as_long_ones() -> None:
    config = loaded("short_forms.yaml")
    steady = TokenBucket(name="steady", rate=Rate(5, "second"), burst=10)
    daily = Quota(name="daily", quota=Rate(1000, "day"))
    assert config.plans["free"].limits == (steady, daily)
    public, private, listed = config.services[0].routes
    assert public.auth == ()
    assert public.cache is not None
    assert (public.cache.enabled, public.cache.default_ttl) == (True, 60.0)
    assert private.auth == listed.auth == ("api-key",)
    assert private.cache is not None
    assert listed.cache is not None
    assert (private.cache.enabled, listed.cache.enabled) == (False, True)


def test_extends_takes_the_place_of_limits_by_name_and_null_removes_one() -> None:
    plans = loaded("short_forms.yaml").plans
    daily = Quota(name="daily", quota=Rate(1000, "day"))
    steady = TokenBucket(name="steady", rate=Rate(20, "second"), burst=40)
    assert plans["basic"].limits == (steady, daily)
    assert [limit.name for limit in plans["open"].limits] == ["steady"]


def test_a_missing_burst_is_the_count_of_the_rate() -> None:
    (limit,) = loaded("short_forms.yaml").plans["premium"].limits
    assert isinstance(limit, TokenBucket)
    assert limit.burst == 100


def test_limits_pass_through_a_chain_of_plans(tmp_path: Path) -> None:
    chain = "".join(f"  p{n}: {{extends: p{n - 1}}}\n" for n in range(30, 0, -1))
    text = f"version: 1\nplans:\n{chain}  p0: {{rate: 7/m}}\n{SERVICES}"
    config = load(written(tmp_path, text), {})
    assert config.plans["p30"].limits == config.plans["p0"].limits


def test_words_that_yaml_1_1_would_change_stay_words() -> None:
    config = loaded("everything.yaml")
    (tenant,) = config.tenants
    assert (tenant.name, tenant.plan, tenant.keys[0].name) == ("0123", "no", "off")
    assert tenant.keys[0].value.get_secret_value() == "1:30"
    assert config.services[0].name == "yes"
    assert config.services[0].routes[0].strip_prefix is True


def test_settings_of_a_custom_policy_have_the_types_they_look_like() -> None:
    (policy,) = loaded("everything.yaml").services[0].routes[0].policies
    assert policy.settings == {
        "depth": 3,
        "share": 0.5,
        "is_on": True,
        "word": "no",
        "quoted": "3",
        "empty": None,
        "list": [1, "x"],
    }


def test_files_are_found_from_the_folder_of_the_configuration() -> None:
    service = loaded("everything.yaml").services[0]
    assert service.tls.ca_file == str(RIGHT / "secrets" / "acme_key")
    assert service.routes[0].policies[0].use == f"{RIGHT / 'secrets' / 'policy.py'}:build"


def test_hosts_and_targets_come_out_in_one_form() -> None:
    assert loaded("everything.yaml").services[0].routes[0].hosts[0] == "api.example.com"
    assert loaded("short_forms.yaml").services[0].targets == ("http://127.0.0.1:9000",)


def test_references_stand_in_any_string() -> None:
    config = loaded("references.yaml", HOST="::1", PREFIX="live", STRIP="no", RATE="2/h")
    assert (config.listen.host, config.listen.port) == ("::1", 8123)
    keys = [key.value.get_secret_value() for key in config.tenants[0].keys]
    assert keys == ["from_a_file_1", "live_and_more"]
    assert config.services[0].routes[0].strip_prefix is False
    assert config.plans["free"].limits[0] == TokenBucket(
        name="steady", rate=Rate(2, "hour"), burst=2
    )


def test_the_environment_stands_over_the_file() -> None:
    config = loaded(
        "design.yaml",
        REDIS_URL="redis://store:6379/1",
        TIDEGATE_LISTEN_HOST="0.0.0.0",
        TIDEGATE_LISTEN_PORT="8080",
        TIDEGATE_ADMIN_HOST="0.0.0.0",
        TIDEGATE_ADMIN_PORT="9001",
    )
    assert config.redis.url == "redis://store:6379/1"
    assert (config.listen.host, config.listen.port) == ("0.0.0.0", 8080)
    assert (config.admin.host, config.admin.port) == ("0.0.0.0", 9001)


def test_what_the_environment_replaces_need_not_be_resolvable(tmp_path: Path) -> None:
    path = written(tmp_path, f"version: 1\nredis: {{url: '${{STORE_URL}}'}}\n{SERVICES}")
    assert load(path, {"REDIS_URL": "unix:///run/store.sock"}).redis.url == "unix:///run/store.sock"


def test_the_working_directorys_dotenv_feeds_references_below_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("SHOP_HOST", "::1")
    (tmp_path / ".env").write_text("SHOP_PORT=8222\nSHOP_HOST=127.0.0.9\n")
    text = "version: 1\nlisten: {port: '${SHOP_PORT}', host: '${SHOP_HOST}'}\n" + SERVICES
    config = load(written(tmp_path, text))
    assert (config.listen.port, config.listen.host) == (8222, "::1")


def test_no_secret_is_in_the_text_of_a_configuration() -> None:
    text = repr(loaded("references.yaml", HOST="127.0.0.1")) + repr(loaded("design.yaml"))
    assert "from_a_file_1" not in text
    assert "premium_user'" not in text.replace("name='premium_user'", "")


def test_an_alias_means_its_anchor(tmp_path: Path) -> None:
    text = "version: 1\nplans:\n  a: &a {rate: 5/s}\n  b: *a\n" + SERVICES
    plans = load(written(tmp_path, text), {}).plans
    assert plans["a"].limits == plans["b"].limits


def test_ten_thousand_keys_load_within_the_bounds(tmp_path: Path) -> None:
    keys = "".join(f"      - {{name: k{n}, value: key_number_{n}}}\n" for n in range(10_000))
    text = (
        "version: 1\nplans: {free: {rate: 5/s}}\n"
        f"tenants:\n  - name: acme\n    plan: free\n    keys:\n{keys}{SERVICES}"
    )
    assert len(load(written(tmp_path, text), {}).tenants[0].keys) == 10_000


def test_routes_that_differ_in_one_thing_live_together(tmp_path: Path) -> None:
    routes = """
      - {name: read, paths: [/a], methods: [HEAD]}
      - {name: get, paths: [/a], methods: [GET]}
      - {name: rest, paths: [/a]}
      - {name: exact, exact_paths: [/a]}
      - {name: hosted, paths: [/a], hosts: [a.example.com]}
      - {name: below, paths: [/a], hosts: ["*.example.com"]}
      - {name: health_of_the_shop, paths: [/health/shop]}
      - {name: every}
"""
    text = f"version: 1\nservices:\n  - name: shop\n    targets: [http://a]\n    routes:{routes}"
    assert len(load(written(tmp_path, text), {}).services[0].routes) == 8
