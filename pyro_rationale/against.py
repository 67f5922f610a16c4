"""Run `python -m pyro_rationale.against`; the command itself is :mod:`pyro_rationale.cli.significance_test`."""

if __name__ == "__main__":
    from pyro_rationale.__main__ import run

    run("against")
