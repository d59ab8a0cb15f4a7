"""What was measured: studies, and the small tables of counts that they become."""
