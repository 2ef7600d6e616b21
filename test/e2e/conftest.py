import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# For the inside of the virtual machine.
collect_ignore = ["guest"]
