"""A configuration from the words of the command line."""

from pathlib import Path

import pytest

from tidegate.config import ConfigError, Quota, TokenBucket, load
from tidegate.config.one_line import OneLine

TO = "http://127.0.0.1:9000"


def loaded(tmp_path: Path, said: OneLine):
    path = tmp_path / "serve.yaml"
    path.write_text(said.written())
    return load(path, {})


def test_every_path_goes_to_the_target_for_whoever_has_a_key(tmp_path):
    config = loaded(tmp_path, OneLine(TO))
    (service,) = config.services
    (route,) = service.routes
    assert service.targets == (TO,)
    assert (route.paths, route.exact_paths, route.auth) == ((), (), ("api-key",))
    (tenant,) = config.tenants
    assert config.plans[tenant.plan].limits == ()


def test_the_limits_are_those_that_were_said(tmp_path):
    config = loaded(tmp_path, OneLine(TO, rate="5/s", burst="20", quota="1000/day"))
    bucket, quota = config.plans[config.tenants[0].plan].limits
    assert isinstance(bucket, TokenBucket)
    assert (str(bucket.rate), bucket.burst) == ("5/second", 20)
    assert isinstance(quota, Quota)
    assert str(quota.quota) == "1000/day"


def test_without_a_burst_one_period_s_count_may_come_at_once(tmp_path):
    config = loaded(tmp_path, OneLine(TO, rate="5/s"))
    assert config.plans[config.tenants[0].plan].limits[0].burst == 5


def test_none_asks_for_no_key(tmp_path):
    assert loaded(tmp_path, OneLine(TO, auth="none")).services[0].routes[0].auth == ()


@pytest.mark.parametrize(
    "said, lines",
    [
        (
            OneLine("127.0.0.1:9000", rate="5", burst="many", quota="1000"),
            [
                'command line: --burst: found "many"; write a whole number',
                'command line: --quota: found "1000"; write a count and a period, '
                "such as 5/s, 30/m, 100/h or 1000/day",
                'command line: --rate: found "5"; write a count and a period, '
                "such as 5/s, 30/m, 100/h or 1000/day",
                'command line: --to: found "127.0.0.1:9000"; a target starts with "http://" or '
                '"https://": http://127.0.0.1:9000',
            ],
        ),
        (
            OneLine(TO, burst="5"),
            ["command line: --burst: a burst needs a rate beside it, such as --rate 5/s"],
        ),
        (
            OneLine(TO, auth="nobody"),
            ['command line: --auth: found "nobody"; write api-key or none'],
        ),
        (
            OneLine(TO, rate="5/s", auth="none"),
            [
                'command line: --rate: found "5/s"; without keys there is nobody to count for: '
                "leave out --auth none, or this"
            ],
        ),
        (
            OneLine("https://user:S3CRET@host"),
            [
                'command line: --to: found "https://user:***@host"; a target has no user name or '
                "password; the service's own are not sent"
            ],
        ),
        (
            OneLine("${HOME}"),
            [
                'command line: --to: found "${HOME}"; a target starts with "http://" or '
                '"https://": http://${HOME}'
            ],
        ),
    ],
)
def test_mistakes_are_told_as_a_file_s_are_under_the_option_s_name(said, lines):
    with pytest.raises(ConfigError) as refused:
        said.written()
    assert str(refused.value).splitlines() == lines


@pytest.mark.parametrize("word", ["5/s}\nlisten: {port: 1", "5/s # ", '5/s"', "5/s, burst: 9"])
def test_no_word_can_say_more_than_its_own_field(word):
    for said in (OneLine(TO, rate=word), OneLine(TO, quota=word), OneLine(TO + word)):
        with pytest.raises(ConfigError):
            said.written()
