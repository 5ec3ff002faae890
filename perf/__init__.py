"""Speed, as ratios against named competitors, each measured side by side in one run."""
