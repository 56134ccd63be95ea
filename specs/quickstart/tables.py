"""Draws bearings.csv for class_weights.yaml and wines.csv for two_inputs_two_outputs.yaml; the same on every machine."""

import random
from math import exp
from pathlib import Path

HERE = Path(__file__).parent


def bearings(rows: int = 1600) -> list[str]:
    """One bearing in twenty is faulty: it is a little louder and warmer than its load and speed explain."""
    draw = random.Random("bearings")
    lines = ["load,speed,vibration,temperature,state"]
    for i in range(rows):
        faulty = i % 20 == 7
        load, speed = draw.uniform(0.2, 1.0), draw.uniform(500, 3000)
        vibration = 0.6 * load + speed / 2500 + draw.gauss(0, 0.15) + (0.45 + 0.2 * draw.random() if faulty else 0)
        temperature = 30 + 25 * load + speed / 150 + draw.gauss(0, 3) + (7 + 3 * draw.random() if faulty else 0)
        lines.append(f"{load:.2f},{speed:.0f},{vibration:.3f},{temperature:.1f},{'faulty' if faulty else 'good'}")
    return lines


def wines(rows: int = 900) -> list[str]:
    """What a wine is drunk with, and its price, from its region and what was measured of it."""
    draw = random.Random("wines")
    regions = {"coast": (12.0, 0.4), "hills": (16.0, -0.5), "plain": (8.0, 0.0), "valley": (20.0, 1.0)}
    lines = ["region,sugar,acid,age,served,price"]
    for _ in range(rows):
        region = draw.choice(list(regions))
        base, sweet = regions[region]
        sugar, acid, age = draw.uniform(0, 60), draw.uniform(3, 9), draw.randrange(1, 16)
        taste = sugar / 20 + sweet - 0.35 * acid + draw.gauss(0, 0.15)
        served = "fish" if taste < -1.0 else "meat" if taste < 0.3 else "dessert"
        price = base * (1 + 0.09 * age) * (1 + 0.3 / (1 + exp(-(taste - 0.3) * 3))) + draw.gauss(0, 1.0)
        lines.append(f"{region},{sugar:.1f},{acid:.2f},{age},{served},{price:.2f}")
    return lines


if __name__ == "__main__":
    for name, lines in (("bearings", bearings()), ("wines", wines())):
        (HERE / f"{name}.csv").write_text("\n".join(lines) + "\n", "utf-8")
