"""`tidegate keys`, by the admin API and straight on the store."""

import os
import time
from typing import Any

from tests.cli.served_admin_api import served_admin_api
from tidegate.cli.output import when
from tidegate.store.gateways import Advertised, advertised


def test_a_key_is_shown_once_with_a_line_to_try_it(operated: Any) -> None:
    made = operated.run("keys", "create", "--tenant", operated.tenant, "--name", "ci")
    assert made.code == 0
    is_served = made.err == ""
    assert made.out.count("tg_live_") == (2 if is_served else 1)
    assert ('curl -H "X-API-Key: tg_live_' in made.out) == is_served
    assert ("http://127.0.0.1:8000/api/v1" in made.out) == is_served
    assert "tg_live_" not in operated.run("keys", "list").out


def test_json_holds_the_key_and_that_it_is_on_disk(operated: Any) -> None:
    made = operated.run("keys", "create", "-t", operated.tenant, "-n", "ci", "--json").json
    assert made["key"].startswith("tg_live_")
    assert made["durable"] is True
    listed = operated.run("keys", "list", "--tenant", operated.tenant, "--json").json
    assert {(key["name"], key["origin"]) for key in listed} == {("ci", "api"), ("in_file", "file")}
    assert made["id"] in {key["id"] for key in listed}


def test_keys_made_by_many_commands_are_all_listed(operated: Any) -> None:
    for number in range(5):
        operated.run("keys", "create", "-t", operated.tenant, "-n", f"key-{number}")
    listed = operated.run("keys", "list", "-t", operated.tenant)
    assert listed.code == 0
    assert [line.split()[1] for line in listed.out.splitlines()[1:]] == [
        "in_file",
        *(f"key-{number}" for number in range(5)),
    ]


def test_a_revoked_key_is_gone_from_the_list(operated: Any) -> None:
    operated.run("keys", "create", "-t", operated.tenant, "-n", "ci")
    revoked = operated.run("keys", "revoke", "-t", operated.tenant, "-n", "ci")
    assert revoked.code == 0
    assert "Revoked key ci" in revoked.out
    assert "ci" not in operated.run("keys", "list", "-t", operated.tenant).out.split()


def test_what_cannot_be_done_is_one_line_on_standard_error(operated: Any) -> None:
    tenant = operated.tenant
    operated.run("keys", "create", "-t", tenant, "-n", "ci")
    for arguments, said in (
        (("create", "-t", "nobody", "-n", "ci"), "Error: There is no tenant nobody: there "),
        (("list", "-t", "nobody"), "Error: There is no tenant nobody: there "),
        (("revoke", "-t", "nobody", "-n", "ci"), "Error: There is no tenant nobody: there "),
        (("create", "-t", f"{tenant}x", "-n", "ci"), f'{tenant}x, did you mean "{tenant}"?\n'),
        (("create", "-t", tenant, "-n", "ci"), "has a key ci"),
        (("revoke", "-t", tenant, "-n", "none"), f"Error: Tenant {tenant} has no key none: see"),
        (("revoke", "-t", tenant, "-n", "in_file"), "change it there"),
        (("rotate", "-t", tenant, "-n", "in_file"), "change it there"),
    ):
        failed = operated.run("keys", *arguments)
        assert (failed.code, failed.out) == (1, "")
        assert said in failed.err
        assert "Traceback" not in failed.err


def test_a_rotated_key_keeps_its_id_and_gets_another_secret(operated: Any) -> None:
    made = operated.run("keys", "create", "-t", operated.tenant, "-n", "ci", "--json").json
    rotated = operated.run("keys", "rotate", "-t", operated.tenant, "-n", "ci", "--json").json
    assert rotated["id"] == made["id"]
    assert rotated["key"] != made["key"]
    assert rotated["durable"] is True
    said = operated.run("keys", "rotate", "-t", operated.tenant, "-n", "ci", "--overlap", "0s").out
    assert "works no longer" in said
    assert "tg_live_" in said
    wrong = operated.run("keys", "rotate", "-t", operated.tenant, "-n", "ci", "--overlap", "soon")
    assert (wrong.code, wrong.out) == (2, "")


def test_a_key_of_a_tenant_that_left_the_file_is_not_listed_as_if_live(commands: Any) -> None:
    commands.run("keys", "create", "-t", commands.tenant, "-n", "ci")
    text = commands.config.read_text()
    commands.config.write_text(text.replace(f"name: {commands.tenant}", "name: another"))
    listed = commands.run("keys", "list", "-t", commands.tenant).out.splitlines()
    assert [line.partition("Z  ")[2] for line in listed[1:]] == [
        "opens nothing: there is no such tenant"
    ]
    with served_admin_api(commands.config, commands.data_dir):
        (key,) = commands.run("keys", "list", "-t", commands.tenant, "--json").json
        rotated = commands.run("keys", "rotate", "-t", commands.tenant, "-n", "ci").out
    assert (key["name"], key["in_force"]) == ("ci", False)
    assert "It opens nothing: there is no such tenant." in rotated
    assert "curl" not in rotated


def test_a_name_that_nothing_can_have_is_refused_alike(commands: Any) -> None:
    refused = commands.run("keys", "create", "-t", commands.tenant, "-n", "a/b")
    assert refused.code == 1
    assert "The name of a key is 1 to 64 letters" in refused.err


def test_the_line_to_try_names_the_port_that_is_served(commands: Any) -> None:
    """Whatever `--port` the running gateway was given, and an address that a client can name."""
    told = Advertised(str(commands.config), os.getpid(), traffic_url="http://0.0.0.0:8765")
    with advertised(commands.data_dir, told):
        made = commands.run("keys", "create", "-t", commands.tenant, "-n", "ci")
    assert "http://127.0.0.1:8765/api/v1\n" in made.out


def test_where_no_gateway_runs_no_line_is_shown_that_cannot_work(commands: Any) -> None:
    create = ("keys", "create", "-t", commands.tenant, "-n")
    alone = commands.run(*create, "ci")
    assert "curl" not in alone.out
    assert f"No gateway runs on {commands.data_dir}: the key lies in the store" in alone.err
    assert f"(embedded, in {commands.data_dir.resolve()})" in alone.err
    assert "--data-dir" in alone.err
    assert commands.run(*create, "for-programs", "--json").json["name"] == "for-programs"
    told = Advertised("/other.yaml", os.getpid(), traffic_url="http://127.0.0.1:8765")
    with advertised(commands.data_dir, told):
        beside = commands.run(*create, "beside")
    assert "curl" not in beside.out
    assert f"No gateway runs on {commands.data_dir} with the configuration" in beside.err


def test_the_list_says_until_when_older_secrets_work(operated: Any) -> None:
    def ci() -> Any:
        keys = operated.run("keys", "list", "-t", operated.tenant, "--json").json
        return next(key for key in keys if key["name"] == "ci")

    operated.run("keys", "create", "-t", operated.tenant, "-n", "ci")
    assert ci()["older_secrets_end_at"] is None
    operated.run("keys", "rotate", "-t", operated.tenant, "-n", "ci", "--overlap", "24h")
    assert 0 < ci()["older_secrets_end_at"] - time.time() <= 86_401  # whole seconds
    until = when(ci()["older_secrets_end_at"])
    listed = operated.run("keys", "list", "-t", operated.tenant).out
    assert f"in force; secrets before it until {until}\n" in listed
    operated.run("keys", "rotate", "-t", operated.tenant, "-n", "ci", "--overlap", "0s")
    assert "secrets before it" not in operated.run("keys", "list", "-t", operated.tenant).out


def test_an_overlap_that_is_too_long_is_refused_in_its_own_unit(commands: Any) -> None:
    refused = commands.run("keys", "rotate", "-t", "x", "-n", "ci", "--overlap", "400d")
    assert (refused.code, refused.out) == (2, "")
    assert "400d is too long: at most 30d" in refused.err
