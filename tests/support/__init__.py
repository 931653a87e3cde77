"""What tests of several rooms share. No test module imports another test module."""
