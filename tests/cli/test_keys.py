"""`tidegate keys` on a real store."""

from typing import Any


def test_a_key_is_shown_once_with_a_line_to_try_it(commands: Any) -> None:
    made = commands.run("keys", "create", "--tenant", commands.tenant, "--name", "ci")
    assert made.code == 0
    assert made.out.count("tg_live_") == 2  # the key, and the curl line
    assert 'curl -H "X-API-Key: tg_live_' in made.out
    assert "http://127.0.0.1:8000/api/v1" in made.out
    assert "tg_live_" not in commands.run("keys", "list").out


def test_json_holds_the_key_and_that_it_is_on_disk(commands: Any) -> None:
    made = commands.run("keys", "create", "-t", commands.tenant, "-n", "ci", "--json").json
    assert made["key"].startswith("tg_live_")
    assert made["durable"] is True
    listed = commands.run("keys", "list", "--tenant", commands.tenant, "--json").json
    assert {(key["name"], key["origin"]) for key in listed} == {("ci", "api"), ("in_file", "file")}
    assert made["id"] in {key["id"] for key in listed}


def test_keys_made_by_many_commands_are_all_listed(commands: Any) -> None:
    for number in range(5):
        commands.run("keys", "create", "-t", commands.tenant, "-n", f"key-{number}")
    listed = commands.run("keys", "list", "-t", commands.tenant)
    assert listed.code == 0
    assert [line.split()[1] for line in listed.out.splitlines()[1:]] == [
        "in_file",
        *(f"key-{number}" for number in range(5)),
    ]


def test_a_revoked_key_is_gone_from_the_list(commands: Any) -> None:
    commands.run("keys", "create", "-t", commands.tenant, "-n", "ci")
    revoked = commands.run("keys", "revoke", "-t", commands.tenant, "-n", "ci")
    assert revoked.code == 0
    assert "Revoked key ci" in revoked.out
    assert "ci" not in commands.run("keys", "list", "-t", commands.tenant).out.split()


def test_what_cannot_be_done_is_one_line_on_standard_error(commands: Any) -> None:
    tenant = commands.tenant
    commands.run("keys", "create", "-t", tenant, "-n", "ci")
    for arguments, said in (
        (("create", "-t", "nobody", "-n", "ci"), "Error: There is no tenant nobody\n"),
        (("create", "-t", tenant, "-n", "ci"), "has a key ci"),
        (("revoke", "-t", tenant, "-n", "none"), f"Error: Tenant {tenant} has no key none\n"),
        (("revoke", "-t", tenant, "-n", "in_file"), "defined in the configuration file"),
    ):
        failed = commands.run("keys", *arguments)
        assert (failed.code, failed.out) == (1, "")
        assert said in failed.err
        assert "Traceback" not in failed.err
