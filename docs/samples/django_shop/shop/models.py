from django.db import models


class Order(models.Model):
    email = models.EmailField()
    customer = models.CharField(max_length=100)  # at Stripe
    total = models.PositiveIntegerField()  # cents
    confirmed = models.BooleanField(default=False)
