// Points and vectors in the plane, for a drawing program.

export class Vector {
  constructor(
    readonly x: number,
    readonly y: number,
  ) {}

  add(other: Vector): Vector {
    return new Vector(this.x + other.x, this.y + other.y);
  }

  subtract(other: Vector): Vector {
    return new Vector(this.x - other.x, this.y - other.y);
  }

  scale(factor: number): Vector {
    return new Vector(this.x * factor, this.y * factor);
  }

  dot(other: Vector): number {
    return this.x * other.x + this.y * other.y;
  }

  get length(): number {
    return Math.sqrt(this.x * this.x + this.y * this.y);
  }

  equals(other: Vector): boolean {
    return this.x === other.x && this.y === other.y;
  }

  toString(): string {
    return `(${this.x}, ${this.y})`;
  }
}

export interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

export function boundingBox(points: Vector[]): Box {
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  return {
    left: Math.min(...xs),
    right: Math.max(...xs),
    top: Math.min(...ys),
    bottom: Math.max(...ys),
  };
}

export function pathLength(points: Vector[]): number {
  let total = 0;
  for (let i = 1; i < points.length; i++) {
    total += points[i].subtract(points[i - 1]).length;
  }
  return total;
}
