"""What is offered by subscription: plans, with their terms and prices by version."""
