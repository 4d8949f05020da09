"""What a service does by its role, apart from what every one does.

ground      what the parts stand on, whatever the role
leadership  deciding commands and publishing what became of them
"""
