"""A Flower app: Fashion-MNIST, spread unevenly over clients."""
