"""What a run reports while it trains: metrics, throughput, alarms, scores, sample grids and progress."""
