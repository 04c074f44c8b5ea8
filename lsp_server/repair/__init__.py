"""From a fault to a checked edit: fault → places → proposals → check → hunks."""
