"""The doctor in broken places: each has one fault, and the doctor has to name it."""
