"""Networks: layers, agent utilities, critics."""
