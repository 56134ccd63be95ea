"""The network of digits.yaml as a PyTorch script: ``python digits.py DIGITS.npz``; trains 20 epochs and prints the test accuracy."""

import sys

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
with np.load(sys.argv[1]) as held:
    x, y = (torch.from_numpy(held[name]) for name in ("image", "digit"))
x, y = x.reshape(-1, 1, 8, 8).float() / 16, y.long()
order = torch.randperm(len(x))
test, train = order[:360], order[360:]
net = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Flatten(),
                    nn.Linear(1024, 64), nn.ReLU(), nn.Linear(64, 10))
step = torch.optim.Adam(net.parameters(), 1e-3)
for _ in range(20):
    for rows in train[torch.randperm(len(train))].split(64):
        loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
        step.zero_grad()
        loss.backward()
        step.step()
net.eval()
with torch.no_grad():
    print(f"test.accuracy {(net(x[test]).argmax(1) == y[test]).float().mean():.4f}")
