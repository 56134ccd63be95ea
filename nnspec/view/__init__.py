"""What a person looks at: pictures, tables and curves of a network and its training."""
