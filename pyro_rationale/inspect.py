"""Run `python -m pyro_rationale.inspect`; the command itself is :mod:`pyro_rationale.cli.posterior`."""

if __name__ == "__main__":
    from pyro_rationale.__main__ import run

    run("inspect")
