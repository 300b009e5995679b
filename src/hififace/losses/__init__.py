"""What training minimises: each loss a pure function with its formula, the total with every term by name.

torch only. No loss builds a network or reads a file: embeddings, landmarks, features and logits are passed
in.
"""
