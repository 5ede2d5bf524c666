"""Offline against on-the-fly with everything else equal: experiment, statistics, proof."""
