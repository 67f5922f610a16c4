"""Run `python -m pyro_rationale.benchmark`; the command itself is :mod:`pyro_rationale.cli.benchmark`."""

if __name__ == "__main__":
    from pyro_rationale.__main__ import run

    run("benchmark")
