"""Run `python -m pyro_rationale.search`; the command itself is :mod:`pyro_rationale.cli.search`."""

if __name__ == "__main__":
    from pyro_rationale.__main__ import run

    run("search")
