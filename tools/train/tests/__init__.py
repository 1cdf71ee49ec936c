"""Tests of the training code: python3 -m unittest discover -s train -t . -p '*_test.py', in tools/."""
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models are tiny; threads would only wait for each other
