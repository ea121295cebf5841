"""Any model, a loss and batches become a trained model."""
