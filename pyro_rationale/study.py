"""Run `python -m pyro_rationale.study`; the command itself is :mod:`pyro_rationale.cli.study`."""

if __name__ == "__main__":
    from pyro_rationale.__main__ import run

    run("study")
