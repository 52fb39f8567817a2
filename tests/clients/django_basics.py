"""Django's ORM: prints what it gets, to be compared."""

import os

import django
from django.conf import settings

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["WAYPOOL_TEST_DATABASE"],
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "USER": os.environ["PGUSER"],
        }
    },
    # The models below belong to it: one of our own would have to be a package.
    INSTALLED_APPS=["django.contrib.contenttypes"],
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.db import IntegrityError, connection, models, transaction  # noqa: E402


class Shop(models.Model):
    name = models.CharField(max_length=50, unique=True)

    class Meta:
        app_label = "contenttypes"


class Item(models.Model):
    shop = models.ForeignKey(Shop, models.CASCADE, related_name="items")
    price = models.DecimalField(max_digits=8, decimal_places=2)
    data = models.JSONField(default=dict)

    class Meta:
        app_label = "contenttypes"


with connection.schema_editor() as editor:
    editor.create_model(Shop)
    editor.create_model(Item)
print(sorted(connection.introspection.table_names()))
shops = Shop.objects.bulk_create(Shop(name=f"shop{n}") for n in range(4))
Item.objects.bulk_create(Item(shop=shop, price=n, data={"n": n}) for shop in shops for n in range(shop.pk))
print(list(Shop.objects.annotate(number=models.Count("items"), total=models.Sum("items__price")).order_by("pk").values_list()))
print(Item.objects.filter(data__n=1, shop__name="shop3").count())
print(Shop.objects.get_or_create(name="shop1")[1], Shop.objects.get_or_create(name="new")[1])
print(Item.objects.filter(price__gte=2).update(price=models.F("price") * 2))
try:
    with transaction.atomic():
        Shop.objects.create(name="gone")
        Shop.objects.create(name="shop1")
except IntegrityError as error:
    print(type(error.__cause__).__name__, Shop.objects.filter(name="gone").exists())
with transaction.atomic():
    locked = Shop.objects.select_for_update().get(name="shop2")
    try:
        with transaction.atomic():
            locked.name = "shop3"
            locked.save()
    except IntegrityError:
        print("the outer one goes on", Shop.objects.count())
print(len(list(Item.objects.order_by("pk").iterator(chunk_size=2))))
print(Shop.objects.filter(name="shop3").delete())
with connection.schema_editor() as editor:
    editor.delete_model(Item)
    editor.delete_model(Shop)
