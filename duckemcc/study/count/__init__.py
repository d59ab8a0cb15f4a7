"""The engines that hold the records and count them."""
