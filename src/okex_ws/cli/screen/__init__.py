"""What okex-ws watch draws: order books on a terminal."""
