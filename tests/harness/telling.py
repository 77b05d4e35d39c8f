"""How the demos tell what they do: every claim is checked as it is printed."""
import sys


def section(title):
    print(f"\n\033[1m== {title}\033[0m" if sys.stdout.isatty() else f"\n== {title}", flush=True)


def say(text):
    print("   " + text.replace("\n", "\n   "), flush=True)


def check(condition, claim):
    print(f"   {'ok  ' if condition else 'FAIL'} {claim}", flush=True)
    if not condition:
        raise AssertionError(claim)
