"""Run `python -m pyro_rationale.explain`; the command itself is :mod:`pyro_rationale.cli.explain`."""

if __name__ == "__main__":
    from pyro_rationale.__main__ import run

    run("explain")
